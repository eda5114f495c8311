-- Load for compare.py: wrk [...] URL -- PIPELINE BODY_BYTES
-- Prints one line of figures at the end, so that no human-readable output has to be parsed.

init = function(args)
  local depth, size = tonumber(args[1]), tonumber(args[2])
  if size > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", size)
  end
  if depth > 1 then
    local batch = string.rep(wrk.format(), depth)
    request = function() return batch end
  end
end

done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "FIGURES %d %d %d %d %d %d %d %d %d\n",
    summary.requests, summary.duration, summary.bytes,
    errors.connect + errors.read + errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
