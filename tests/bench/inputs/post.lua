-- wrk's load: the complete example of a lead, each from another visitor and under a key of its own.
-- Arguments: a bearer token. Written by hand instead of wrk.format(), which costs more than the rest.
local thread_number = 0
function setup(thread)
  thread:set("number", thread_number)
  thread_number = thread_number + 1
end

local head = "POST /inbound/leads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
local body = [[{"name":"Ada Lovelace","email":"ada.%d.%d.%d@example.com","service":"Web design",]] ..
  [["message":"We need a new site by spring. Please call me.","phone":"+44 20 7946 0000",]] ..
  [["company":"Analytical Engines Ltd","consent":true,"locale":"en-GB","submitted_at":"2024-01-03T10:30:42Z",]] ..
  [["source":{"page_url":"https://www.example.com/contact","referrer":"https://www.example.org/",]] ..
  [["utm_source":"newsletter","utm_medium":"email","utm_campaign":"spring"},]] ..
  [["meta":{"user_agent":"Mozilla/5.0","honeypot":"","fill_seconds":44,]] ..
  [["consent_text":"I agree that you answer me by email.","consent_version":"2024-01"},"budget":"10,000"}]]
local count, begun, token = 0, 0, ""

function init(args)
  token, begun = args[1], os.time()
end

function request()
  count = count + 1
  local text = string.format(body, begun, number, count)
  return string.format("%sAuthorization: Bearer %s\r\nIdempotency-Key: %d-%d-%d\r\nContent-Length: %d\r\n\r\n%s",
    head, token, begun, number, count, #text, text)
end
