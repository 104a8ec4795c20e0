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
  -- A connection waits for the team at its other end. This side has done what it can: if it were less than Healthy,
  -- two teams that wait for each other's sync would wait for ever. The message names the connection.
  if says("Connected", "False") then
    return {status = "Healthy", message = "not connected: " .. found.Connected.message}
  end
  return {status = "Healthy", message = found.Ready.message}
end
if says("Reconciling", "True") then
  return {status = "Progressing", message = found.Reconciling.message}
end
if found.Ready == nil then
  return {status = "Progressing", message = "the operator has not said whether it is Ready"}
end

-- What the operator is about to do; it passes without anybody.
local passing = {DefaultDenyPending = true, KeyPending = true, PolicyMissing = true, RotationNotSet = true}
local ready = found.Ready
if passing[ready.reason] then
  return {status = "Progressing", message = ready.message}
end
-- The TrustDomain only audits the namespace, as declared; past its date somebody has to decide.
if ready.reason == "AuditMode" and not (found.Isolated ~= nil and found.Isolated.reason == "StagingOverdue") then
  return {status = "Suspended", message = ready.message}
end
return {status = "Degraded", message = ready.message}
