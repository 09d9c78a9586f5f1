# Sourced by tests that hold a program to its memory.
# peak_memory JSON COMMAND...: runs it with stdout to JSON; sets peak_kb, the most of RssAnon + RssShmem of
# /proc/PID/status in samples taken 20 times a second (mapped file pages, which the system takes back when it
# likes, are not in it; a software device's memory is), and high, the result's device_high_water in bytes.
# Returns what COMMAND did.
peak_memory() {
    local json=$1 pid now status
    shift
    "$@" >"$json" &
    pid=$!
    peak_kb=0
    while now=$(awk '/^(RssAnon|RssShmem):/ { s += $2 } END { print s + 0 }' \
        "/proc/$pid/status" 2>/dev/null) &&
        kill -0 "$pid" 2>/dev/null; do
        if [ "$now" -gt "$peak_kb" ]; then peak_kb=$now; fi
        sleep 0.05
    done
    wait "$pid"
    status=$?
    high=$(sed -n 's/.*"device_high_water":[[:space:]]*\([0-9]*\).*/\1/p' "$json")
    return $status
}
