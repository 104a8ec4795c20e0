-- An Application is as healthy as Argo CD found it: without this, an Application of Applications does not wait for
-- one step before it begins the next.
local status = obj.status
if status == nil or status.health == nil or status.health.status == nil then
  return {status = "Progressing", message = "Argo CD has not looked at it yet"}
end
return {status = status.health.status, message = status.health.message or ""}
