-- Healthy: the condition Ready is True for the generation that is applied. Progressing: the operator has not looked
-- yet, or goes on by itself. Degraded: somebody has to change something.
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at it since it changed"}
end
local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local function says(name, value)
  return found[name] ~= nil and found[name].status == value
end

if says("Stalled", "True") then
  return {status = "Degraded", message = found.Stalled.message}
end
if says("Ready", "True") then
  return {status = "Healthy", message = found.Ready.message}
end
if says("Reconciling", "True") then
  return {status = "Progressing", message = found.Reconciling.message}
end
if found.Ready == nil then
  return {status = "Progressing", message = "the operator has not said whether it is Ready"}
end
return {status = "Degraded", message = found.Ready.message}
