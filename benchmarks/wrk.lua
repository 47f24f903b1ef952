-- Asks questions from a file in turns: lines of path, Authorization and, for a POST, body, separated by tabs.
--   wrk … -s wrk.lua http://host:port -- FILE SKIP MANY
-- Prints one line of JSON at the end.
local requests, at = {}, 0

function init(arguments)
    local skip, many = tonumber(arguments[2]), tonumber(arguments[3])
    local number = 0
    for line in io.lines(arguments[1]) do
        number = number + 1
        if number > skip then
            local path, key, body = line:match("^([^\t]*)\t([^\t]*)\t?(.*)$")
            local headers = { ["Authorization"] = key }
            if body ~= "" then
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                requests[#requests + 1] = wrk.format("POST", path, headers, body)
            else
                requests[#requests + 1] = wrk.format("GET", path, headers)
            end
            if #requests == many then break end
        end
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "refused": %d, "failed": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
        errors.status, errors.connect + errors.read + errors.write + errors.timeout
    ))
end
