# shellcheck shell=bash
# Sourced by the tools that start servers: ports, four-letter words, and the end of a process.

stop_limit_s=20

# is_open PORT: whether somebody listens there.
is_open() {
    timeout 1 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0"' "$1" 2>/dev/null
}

# four_letter_word PORT WORD: the server's answer, empty when there is none within a second.
four_letter_word() {
    timeout 1 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf %s "$1" >&3 && cat <&3' "$1" "$2" 2>/dev/null || true
}

# is_running CONFIGURATION PID: whether PID is a server started with that file as its last argument (a pid file may be
# older than the process).
is_running() {
    local arguments
    mapfile -d '' -t arguments 2>/dev/null <"/proc/$2/cmdline" || return 1
    [ ${#arguments[@]} -gt 0 ] && [ "${arguments[-1]}" = "$1" ]
}

# has_ended PID: whether the process has let go of everything, its port among that. One that is ending loses its
# arguments before it closes its sockets, so is_running says no too early for this.
has_ended() {
    local status
    status=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    [[ $status == [ZX]* ]]
}

# wait_until_serving PORT PID LIMIT_S IS_MEMBER: whether the server answers in time; unless IS_MEMBER says that it is one
# of an ensemble, which may have to wait for the others, it has to name its mode too.
wait_until_serving() {
    local deadline=$((SECONDS + $3))
    while [ $SECONDS -lt $deadline ] && kill -0 "$2" 2>/dev/null; do
        if [ "$(four_letter_word "$1" ruok)" = imok ] &&
            { [ -n "$4" ] || [[ $(four_letter_word "$1" srvr) == *Mode:* ]]; }; then
            return
        fi
        sleep 0.05
    done
    return 1
}

# stop_server PID_FILE CONFIGURATION: ends the server that was started so, if it still runs, and forgets its pid.
# Returns 1 when it does not end.
stop_server() {
    local pid signal deadline
    [ -f "$1" ] || return 0
    pid=$(<"$1")
    if is_running "$2" "$pid"; then
        for signal in TERM KILL; do
            kill -"$signal" "$pid" 2>/dev/null || true
            deadline=$((SECONDS + stop_limit_s))
            while ! has_ended "$pid" && [ $SECONDS -lt $deadline ]; do
                sleep 0.05
            done
            ! has_ended "$pid" || break
        done
        has_ended "$pid" || return 1
    fi
    rm -f "$1"
}
