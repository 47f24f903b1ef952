-- Asks arizekeys whether a request may pass: the action "lua.arizekeys URL" of haproxy.cfg.
--
-- A 204 lets it pass, with who it is in its headers. A refusal ends it with arizekeys' own answer. Everything else ends
-- it with a 503, and so does haproxy.cfg when this script is not there, fails or is cut short.

local PATIENCE = 4000  -- milliseconds; longer than that of the section "arizekeys", which then says 503 or 504

-- What arizekeys needs to know of a request, and nothing else.
local ASKED = {
    "authorization", "x-api-key", "user-agent", "x-forwarded-for", "x-forwarded-proto",
    "sdk-package-name", "sdk-version", "cli-package-name", "cli-version",
}
local TOLD = {
    "x-arize-key-id", "x-arize-key-kind", "x-arize-user-id", "x-arize-user-kind", "x-arize-account-id",
    "x-arize-space-id", "x-arize-role",
}
local REFUSALS = { [400] = true, [401] = true, [403] = true, [429] = true }
local EXPLAINED = { "content-type", "www-authenticate", "retry-after" }

-- All values of a header, so that a key that came twice is seen twice. HAProxy counts them from 0.
local function values(headers, name)
    local found = {}
    local index = 0
    while headers[name] and headers[name][index] do
        found[#found + 1] = headers[name][index]
        index = index + 1
    end
    return found
end

local function refuse(txn, status, answer)
    local reply = txn:reply()
    reply:set_status(status)
    reply:add_header("cache-control", "no-store")
    for _, name in ipairs(EXPLAINED) do
        for _, value in ipairs(values(answer.headers or {}, name)) do
            reply:add_header(name, value)
        end
    end
    if answer.body then
        reply:set_body(answer.body)
    end
    txn:done(reply)
end

core.register_action("arizekeys", { "http-req" }, function(txn, url)
    local given, sent = txn.http:req_get_headers(), {}
    for _, name in ipairs(ASKED) do
        local found = values(given, name)
        if #found > 0 then
            sent[name] = found
        end
    end
    local answer = core.httpclient():get{ url = url, headers = sent, timeout = PATIENCE }
    if answer.status ~= 204 then
        if REFUSALS[answer.status] then
            refuse(txn, answer.status, answer)
        end
        refuse(txn, 503, {})
    end
    for _, name in ipairs(TOLD) do
        for _, value in ipairs(values(answer.headers, name)) do
            txn.http:req_set_header(name, value)
        end
    end
    txn:set_var("txn.arizekeys_key_id", values(answer.headers, "x-arize-key-id")[1])
    txn:set_var("txn.arizekeys_allowed", true)
end, 1)
