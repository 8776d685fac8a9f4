-- wrk's load: the complete example of a lead, each from another visitor and under a key of its own.
-- Arguments: a bearer token; for Outpost also a tenant and a topic, whose event has the same lead as its data.
-- Written by hand instead of wrk.format(), which costs more than the rest.
local thread_number = 0
function setup(thread)
  thread:set("number", thread_number)
  thread_number = thread_number + 1
end

local head = "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
local body = [[{"name":"Ada Lovelace","email":"ada.%d.%d.%d@example.com","service":"Web design",]] ..
  [["message":"We need a new site by spring. Please call me.","phone":"+44 20 7946 0000",]] ..
  [["company":"Analytical Engines Ltd","consent":true,"locale":"en-GB","submitted_at":"2024-01-03T10:30:42Z",]] ..
  [["source":{"page_url":"https://www.example.com/contact","referrer":"https://www.example.org/",]] ..
  [["utm_source":"newsletter","utm_medium":"email","utm_campaign":"spring"},]] ..
  [["meta":{"user_agent":"Mozilla/5.0","honeypot":"","fill_seconds":44,]] ..
  [["consent_text":"I agree that you answer me by email.","consent_version":"2024-01"},"budget":"10,000"}]]
local event = [[{"id":"%d-%d-%d","tenant_id":"%s","topic":"%s","data":%s}]]
local count, begun, token, tenant, topic = 0, 0, "", nil, nil

function init(args)
  token, tenant, topic, begun = args[1], args[2], args[3], os.time()
  head = string.format(head, tenant and "/api/v1/publish" or "/inbound/leads")
end

function request()
  count = count + 1
  local text = string.format(body, begun, number, count)
  if tenant then
    text = string.format(event, begun, number, count, tenant, topic, text)
  end
  return string.format("%sAuthorization: Bearer %s\r\nIdempotency-Key: %d-%d-%d\r\nContent-Length: %d\r\n\r\n%s",
    head, token, begun, number, count, #text, text)
end
