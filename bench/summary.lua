-- What came of a run, as one line of JSON.
function done(summary)
   local e = summary.errors
   print(string.format(
      'SUMMARY {"requests":%d,"seconds":%.6f,"bytes":%d,"refused":%d,"broken":%d,"wrapped":%d}',
      summary.requests, summary.duration / 1e6, summary.bytes, e.status,
      e.connect + e.read + e.write + e.timeout, threads and threads[1]:get("wrapped") or 0))
end
