# shellcheck shell=bash
# Sourced by tools/bench: ensembles of three on this machine, and what is measured on them. Ensembles are called by their
# product, `zookeeper` or `corral`, whose script in tools/ starts and stops their members.

members="1 2 3"
election_limit_s=60
declare -A ensemble_ports=() ensemble_servers=()
declare -A names=([zookeeper]="ZooKeeper x 3" [corral]="Corral x 3")

# member_dir PRODUCT N
member_dir() {
    echo "$work/$1-member-$2"
}

# member_port PRODUCT N
member_port() {
    cut -d' ' -f"$2" <<<"${ensemble_ports[$1]}"
}

# member_pid PRODUCT N
member_pid() {
    cat "$(member_dir "$1" "$2")/$1.pid"
}

# member_at PRODUCT HOST:PORT: the number of the member whose clients are served there.
member_at() {
    local n
    for n in $members; do
        [ "127.0.0.1:$(member_port "$1" "$n")" != "$2" ] || { echo "$n"; return; }
    done
    fail "no member of ${names[$1]} serves $2"
}

# targets PRODUCT N...: where the clients of these members go, with commas.
targets() {
    local product=$1 n list=
    shift
    for n in "$@"; do
        list+=${list:+,}127.0.0.1:$(member_port "$product" "$n")
    done
    echo "$list"
}

# others N: all members but this one.
others() {
    local n
    for n in $members; do
        [ "$n" = "$1" ] || printf '%s ' "$n"
    done
}

# start_command PRODUCT N: what starts a member, as a line for the shell.
start_command() {
    local arguments=()
    # shellcheck disable=SC2206 # the list is meant to be split
    arguments=("$repository/tools/$1" start "$(member_dir "$1" "$2")" "$(member_port "$1" "$2")"
        tickTime=2000 initLimit=10 syncLimit=5 "myid=$2" ${ensemble_servers[$1]})
    [ "$1" = corral ] && arguments+=(-- "${member_edge[@]}") || arguments+=(heap=2g)
    printf '%q ' "${arguments[@]}"
}

# fail_ensemble PRODUCT WHAT: the end, with the last that the members have said.
fail_ensemble() {
    local n
    for n in $members; do
        echo "--- member $n of ${names[$1]}:" >&2
        tail -n 15 "$(member_dir "$1" "$n")/$1.log" >&2 || true
    done
    fail "${names[$1]}: $2"
}

# start_ensemble PRODUCT: starts all members and waits until one leads the others.
start_ensemble() {
    local n quorum_port starting=()
    ensemble_ports[$1]= ensemble_servers[$1]=
    for n in $members; do
        free_port
        ensemble_ports[$1]+="$port "
        free_port
        quorum_port=$port
        free_port
        ensemble_servers[$1]+="server.$n=127.0.0.1:$quorum_port:$port "
        ensembles+=("$1 $(member_dir "$1" "$n")")
    done
    for n in $members; do
        rm -rf "$(member_dir "$1" "$n")"
        mkdir "$(member_dir "$1" "$n")"
        bash -c "$(start_command "$1" "$n")" >/dev/null &
        starting+=($!)
    done
    for n in "${starting[@]}"; do
        wait "$n" || fail_ensemble "$1" "a member does not start"
    done
    leader_of "$1" >/dev/null
}

# revive PRODUCT: starts those of its members again that do not answer; whether it serves as a whole then.
revive() {
    local n
    for n in $members; do
        [ "$(four_letter_word "$(member_port "$1" "$n")" ruok)" != imok ] || continue
        "$repository/tools/$1" stop "$(member_dir "$1" "$n")" >&2 || true
        bash -c "$(start_command "$1" "$n")" >/dev/null || return 1
    done
    # shellcheck disable=SC2086 # members are a list
    "$load" leader --target "$(targets "$1" $members)" --seconds $election_limit_s >/dev/null
}

# lost: what is missing from the table of the part that is being written, a line each.
lost=()

# lose PRODUCT WHAT: notes that something could not be measured.
lose() {
    echo "${names[$1]}: $2" >&2
    echo "${names[$1]}: $2" >>"$work/failed"
    lost+=("${names[$1]}: $2")
}

# write_stages RUN...: the table of what was measured, and what was not.
write_stages() {
    local what
    if [ $# -gt 0 ]; then "$load" stages "$@"; else echo "Nothing was measured."; fi
    [ ${#lost[@]} -gt 0 ] || return 0
    echo
    echo "Not in the table:"
    echo
    for what in "${lost[@]}"; do
        echo "- $what"
    done
}

# stop_ensemble PRODUCT: stops all members and deletes what they have written.
stop_ensemble() {
    local n
    for n in $members; do
        "$repository/tools/$1" stop "$(member_dir "$1" "$n")"
        rm -rf "$(member_dir "$1" "$n")"
    done
}

# leader_of PRODUCT: the number of the member that leads, when all of them serve.
leader_of() {
    local address
    # shellcheck disable=SC2086 # members are a list
    address=$("$load" leader --target "$(targets "$1" $members)" --seconds $election_limit_s) ||
        fail_ensemble "$1" "its members do not serve"
    member_at "$1" "$address"
}

# entrant PRODUCT: the ensemble as `corral-load table` takes it, the leader first.
entrant() {
    local leader n list=
    leader=$(leader_of "$1")
    for n in $leader $(others "$leader"); do
        list+=${list:+,}127.0.0.1:$(member_port "$1" "$n")@$(member_pid "$1" "$n")
    done
    echo "${names[$1]}=$list"
}

# warm_up PRODUCT SECONDS: a virtual machine that has not compiled its code yet would be measured too slow.
warm_up() {
    local workload
    for workload in get set; do
        # shellcheck disable=SC2086 # members are a list
        "$load" run --target "$(targets "$1" $members)" --workload "$workload" --seconds "$2" --warm-up 0 >/dev/null
    done
}

# write_ensemble: ensembles of three under the same loads, in turn.
write_ensemble() {
    local product servers=() extent=(--rounds 3 --seconds 3 --warm-up 1) warm_up_s=10
    [ -z "$quick" ] || { extent=(--rounds 1 --seconds 2 --warm-up 0.5) warm_up_s=3; }
    echo "### Three servers"
    echo
    for product in $products; do
        start_ensemble "$product"
        warm_up "$product" $warm_up_s
        servers+=(--server "$(entrant "$product")")
    done
    timeout 3000 "$load" table "${servers[@]}" "${extent[@]}" --idle 0 --watchers 0 --connects 0 "${arguments[@]}"
    for product in $products; do
        stop_ensemble "$product"
    done
}

# Far below what three servers can do, so that what is measured is the time without a leader and not that of catching up.
offered=2000
# A restart comes when the kill has been seen to its end. The rest of the window is for what the one that comes back does:
# a virtual machine takes seconds to start where others want the processor too.
failover_load=(--workload set --keys 1000 --sessions 16 --in-flight 16 --rate $offered --survive --gap-ms 10
    --warm-up 1 --seconds 13)
kill_at_s=1 restart_at_s=2.5

# kill_leader PRODUCT ROUND ROUNDS: one kill under load, with a restart. The document goes to $work; none where the round
# has failed.
kill_leader() {
    local leader rest told document=$work/$1-kill-$2.json
    leader=$(leader_of "$1") || { lose_round "$@" "its members do not serve"; return; }
    # shellcheck disable=SC2046 # members are a list
    rest=$(targets "$1" $(others "$leader"))
    # shellcheck disable=SC2086 # members are a list
    "$load" run --target "$(targets "$1" $members)" "${failover_load[@]}" --json \
        --at "$kill_at_s:kill:kill -KILL $(member_pid "$1" "$leader") && $(printf '%q' "$load") leader --target $rest >/dev/null" \
        --at "$restart_at_s:restart:$(start_command "$1" "$leader") >/dev/null" \
        >"$document" || { lose_round "$@" "the load has failed (leader: member $leader)"; return; }
    told=$("$load" report "$document" | sed -n 's/^kill *//p')
    echo "${names[$1]}, kill $2 of $3, member $leader: $told" >&2
}

# lose_round PRODUCT ROUND ROUNDS WHY: a kill that has failed. The members are brought back for the next one; where that
# fails, too, there are no further ones.
lose_round() {
    rm -f "$work/$1-kill-$2.json"
    lose "$1" "kill $2 of $3: $4"
    revive "$1" || { given_up+=" $1 "; lose "$1" "its members do not come back: no kills after $2 of $3"; }
}
given_up=

# write_failover: the leaders are killed by SIGKILL under a constant load of writes, one product after the other.
write_failover() {
    local product round runs=()
    [ -n "$kills" ] || kills=$([ -z "$quick" ] && echo 20 || echo 3)
    echo "### Three servers, the leader killed $kills times"
    echo
    echo "SIGKILL under $offered sets a second from 16 sessions on all three servers, which go to the next server when" \
        "their connection is lost; each kill lasts until one of the other two leads. A gap is a stretch of more than" \
        "10 ms without an acknowledged write, on any session. Then the killed one is started again. Latencies count" \
        "from when a write was due; medians of the runs, but for the longest."
    echo
    for product in $products; do
        start_ensemble "$product"
        warm_up "$product" 3
    done
    for round in $(seq $kills); do
        for product in $products; do
            [[ $given_up == *" $product "* ]] || kill_leader "$product" "$round" $kills
        done
    done
    for product in $products; do
        # Here and not before: who has died must have come back.
        (leader_of "$product" >/dev/null) || lose "$product" "its members do not all serve after the last kill"
        for round in $(seq $kills); do
            [ ! -s "$work/$product-kill-$round.json" ] || runs+=(--run "${names[$product]}=$work/$product-kill-$round.json")
        done
        stop_ensemble "$product"
    done
    write_stages "${runs[@]}"
}

# write_rejoin: a follower that has missed many znodes comes back while writes go on, and what the leader's clients feel.
write_rejoin() {
    local product leader follower path came_back missed=$planted before_s=10 window_s=100 runs=()
    [ -z "$quick" ] || missed=100000 before_s=3 window_s=30
    path=$(printf '/corral-load/t2-1000-%d/d999/k%06d' "$missed" $((missed - 1)))
    echo "### Three servers, a follower $missed znodes behind comes back"
    echo
    echo "$offered sets a second from 16 sessions on the leader's server. The follower has come back when it answers a" \
        "read of the last znode it has missed. Latencies count from when a write was due."
    echo
    for product in $products; do
        start_ensemble "$product"
        leader=$(leader_of "$product")
        follower=$(others "$leader" | cut -d' ' -f1)
        came_back=yes
        "$repository/tools/$product" stop "$(member_dir "$product" "$follower")"
        "$load" run --target "$(targets "$product" "$leader")" --workload get --keys "$missed" --depth 2 --fan-out 1000 \
            --seconds 0.5 --warm-up 0 >/dev/null
        "$load" run --target "$(targets "$product" "$leader")" --workload set --sessions 16 --rate $offered --gap-ms 10 \
            --warm-up 2 --seconds $window_s --json \
            --at "$before_s:rejoin:$(start_command "$product" "$follower") >/dev/null & $(printf '%q' "$load") first-answer \
                --target $(targets "$product" "$follower") --path $path --pause-ms 100 --seconds $window_s >/dev/null && wait \$!" \
            >"$work/$product-rejoin.json" || came_back=
        if [ -z "$came_back" ]; then
            lose "$product" "the follower $follower has not come back"
        elif [ "$(leader_of "$product")" = "$leader" ]; then
            runs+=(--run "${names[$product]}=$work/$product-rejoin.json")
        else
            lose "$product" "another leader than before"
        fi
        stop_ensemble "$product"
    done
    write_stages "${runs[@]}"
}
