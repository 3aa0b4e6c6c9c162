-- What wrk sends: Alertmanager's payload with one alert, 1.2 kB, a fingerprint never seen before with every request.
-- The last line printed is for the benchmark: requests, microseconds, p50, p99 (microseconds), errors.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local head = '{"receiver":"runbookd","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"BenchmarkedAlert",'
  .. '"cluster":"production","container":"backend","environment":"production","job":"node","namespace":"voice",'
  .. '"severity":"warning","team":"platform","instance":"host-'
local tail = ':9100"},"annotations":{"description":"The benchmark sends this alert; nobody has to do anything about it. It has a '
  .. 'description as long as such descriptions usually are, with a value of 93.71 % and a duration of 10 minutes.","runbook_url":'
  .. '"https://runbooks.example/benchmark","summary":"A benchmark is running"},"startsAt":"2026-11-24T03:00:00.513Z","endsAt":'
  .. '"0001-01-01T00:00:00Z","generatorURL":"http://prometheus:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1","fingerprint":""}],'
  .. '"groupLabels":{"alertname":"BenchmarkedAlert"},"commonLabels":{"alertname":"BenchmarkedAlert","severity":"warning"},'
  .. '"commonAnnotations":{"summary":"A benchmark is running"},"externalURL":"http://alertmanager:9093","version":"4",'
  .. '"groupKey":"{}/{severity=\\"warning\\"}:{alertname=\\"BenchmarkedAlert\\"}","truncatedAlerts":0}'

function init(arguments)
  count = 0
  run = os.getenv("BENCH_RUN")
  headers = {
    ["Content-Type"] = "application/json",
    ["User-Agent"] = "Alertmanager/0.25.0",
    ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"),
  }
end

function request()
  count = count + 1
  return wrk.format("POST", "/webhook/alertmanager", headers, head .. run .. "-" .. number .. "-" .. count .. tail)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
