# bash completion for proglog. Generated: `make completions`.
_proglog_words() {
    local word
    for word in $1; do
        case $word in "$current"*) COMPREPLY+=("$word") ;; esac
    done
}
_proglog_names() {
    local name quoted file=${XDG_CACHE_HOME:-$HOME/.cache}/proglog/$1
    [ -r "$file" ] || return 0
    while IFS= read -r name; do
        case $name in "$current"*) printf -v quoted %q "$name"; COMPREPLY+=("$quoted") ;; esac
    done < "$file"
}
_proglog_files() {
    local name
    compopt -o filenames 2>/dev/null
    while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -A "$1" -- "$current")
}
_proglog_ranges() {
    compopt -o nospace 2>/dev/null
    _proglog_words 'start end :end @1h @1d cursor: unread:'
}
_proglog() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb= word number=0 at
    COMPREPLY=()
    if [ "$previous" = : ] && [ "${COMP_WORDS[COMP_CWORD-2]}" = unread ]; then _proglog_names positions; return; fi
    if [ "$current" = : ] && [ "$previous" = unread ]; then current=; _proglog_names positions; return; fi
    if [ "$current" = = ]; then current=
    elif [ "$previous" = = ]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi
    current=${current#[\"\']}
    current=${current//\\/}
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        case $word in
            -*) ;;
            *) if [ -z "$verb" ]; then verb=$word; else number=$((number + 1)); fi ;;
        esac
    done
    case $verb:$previous in
        demo:--input|serve:--config|serve:--acl-model-file|serve:--acl-policy-file|serve:--server-tls-cert-file|\
        serve:--server-tls-key-file|serve:--server-tls-ca-file|serve:--peer-tls-cert-file|serve:--peer-tls-key-file|\
        serve:--peer-tls-ca-file|serve:--encrypt-file|serve:--serf-rpc-auth-file|produce:--checkpoint|\
        produce:--rejects|produce:--tls-ca-file|produce:--tls-cert-file|produce:--tls-key-file|consume:--tls-ca-file|\
        consume:--tls-cert-file|consume:--tls-key-file|dash:--replay|dash:--html|dash:--record|dash:--config|\
        dash:--tls-ca-file|dash:--tls-cert-file|dash:--tls-key-file|members:--replay|members:--tls-ca-file|\
        members:--tls-cert-file|members:--tls-key-file|status:--replay|status:--tls-ca-file|status:--tls-cert-file|\
        status:--tls-key-file|copies:--replay|copies:--tls-ca-file|copies:--tls-cert-file|copies:--tls-key-file|\
        lag:--replay|lag:--tls-ca-file|lag:--tls-cert-file|lag:--tls-key-file|wait:--tls-ca-file|wait:--tls-cert-file|\
        wait:--tls-key-file|check:--tls-ca-file|check:--tls-cert-file|check:--tls-key-file|positions:--tls-ca-file|\
        positions:--tls-cert-file|positions:--tls-key-file|segments:--replay|segments:--tls-ca-file|\
        segments:--tls-cert-file|segments:--tls-key-file|losses:--tls-ca-file|losses:--tls-cert-file|\
        losses:--tls-key-file|join:--tls-ca-file|join:--tls-cert-file|join:--tls-key-file|drain:--tls-ca-file|\
        drain:--tls-cert-file|drain:--tls-key-file|leave:--tls-ca-file|leave:--tls-cert-file|leave:--tls-key-file|\
        force-leave:--tls-ca-file|force-leave:--tls-cert-file|force-leave:--tls-key-file|tags:--tls-ca-file|\
        tags:--tls-cert-file|tags:--tls-key-file|rtt:--tls-ca-file|rtt:--tls-cert-file|rtt:--tls-key-file|\
        event:--tls-ca-file|event:--tls-cert-file|event:--tls-key-file|events:--tls-ca-file|events:--tls-cert-file|\
        events:--tls-key-file|query:--tls-ca-file|query:--tls-cert-file|query:--tls-key-file|keys:--tls-ca-file|\
        keys:--tls-cert-file|keys:--tls-key-file|backup:--tls-ca-file|backup:--tls-cert-file|backup:--tls-key-file|\
        acl:--acl-model-file|acl:--acl-policy-file|profile:--tls-ca-file|profile:--tls-cert-file|\
        profile:--tls-key-file|bench:--tls-ca-file|bench:--tls-cert-file|bench:--tls-key-file) _proglog_files file; return ;;
        demo:--keep|serve:--data-dir) _proglog_files directory; return ;;
        demo:--output|demo:-o|serve:--output|serve:-o|produce:--output|produce:-o|consume:--output|consume:-o|\
        members:--output|members:-o|status:--output|status:-o|copies:--output|copies:-o|lag:--output|lag:-o|\
        wait:--output|wait:-o|positions:--output|positions:-o|segments:--output|segments:-o|losses:--output|losses:-o|\
        join:--output|join:-o|drain:--output|drain:-o|leave:--output|leave:-o|force-leave:--output|force-leave:-o|\
        tags:--output|tags:-o|rtt:--output|rtt:-o|event:--output|event:-o|events:--output|events:-o|query:--output|\
        query:-o|keys:--output|keys:-o|backup:--output|backup:-o|restore:--output|restore:-o|verify:--output|verify:-o|\
        doctor:--output|doctor:-o|certs:--output|certs:-o|acl:--output|acl:-o|profile:--output|profile:-o|\
        config:--output|config:-o|bench:--output|bench:-o|completion:--output|completion:-o|spec:--output|spec:-o|\
        help:--output|help:-o) _proglog_words 'table json jsonl plain'; return ;;
        serve:--node-name|serve:--bind-addr|serve:--rpc-port|serve:--advertise-addr|serve:--rpc-advertise-addr|\
        serve:--start-join-addrs|serve:--tag|serve:--gossip-label|serve:--gossip-allow|serve:--event-handler|\
        serve:--serf-rpc-addr|serve:--metrics-addr|serve:--trace-endpoint|serve:--segment-bytes|\
        serve:--retention-bytes|serve:--retention-age|produce:--key|produce:--key-sep|produce:--header|\
        produce:--ack-timeout|produce:--rate|produce:--repeat|produce:--addr|produce:--timeout|produce:--wait|\
        consume:--limit|consume:-n|consume:--commit-interval|consume:--key|consume:--header|consume:--grep|\
        consume:--addr|consume:--timeout|consume:--wait|dash:--port|dash:--also|dash:--theme|dash:--addr|\
        dash:--timeout|dash:--wait|members:--at|members:--addr|members:--timeout|members:--wait|status:--at|\
        status:--addr|status:--timeout|status:--wait|copies:--at|copies:--addr|copies:--timeout|copies:--wait|lag:--at|\
        lag:--addr|lag:--timeout|lag:--wait|wait:--members|wait:--for|wait:--addr|wait:--timeout|wait:--wait|\
        check:--lag-records|check:--lag-seconds|check:--disk-free|check:--certificate-days|check:--members|\
        check:--addr|check:--timeout|check:--wait|positions:--addr|positions:--timeout|positions:--wait|segments:--at|\
        segments:--addr|segments:--timeout|segments:--wait|losses:--reason|losses:--addr|losses:--timeout|\
        losses:--wait|join:--addr|join:--timeout|join:--wait|drain:--for|drain:--addr|drain:--timeout|drain:--wait|\
        leave:--addr|leave:--timeout|leave:--wait|force-leave:--addr|force-leave:--timeout|force-leave:--wait|\
        tags:--set|tags:--delete|tags:--addr|tags:--timeout|tags:--wait|rtt:--addr|rtt:--timeout|rtt:--wait|\
        event:--addr|event:--timeout|event:--wait|events:--addr|events:--timeout|events:--wait|query:--tag|\
        query:--relay-factor|query:--for|query:--addr|query:--timeout|query:--wait|keys:--addr|keys:--timeout|\
        keys:--wait|backup:--addr|backup:--timeout|backup:--wait|certs:--host|certs:--client|profile:--addr|\
        profile:--timeout|profile:--warning|bench:--records|bench:--value-bytes|bench:--rate|bench:--nodes|\
        bench:--addr|bench:--timeout|bench:--wait) :; return ;;
        serve:--encrypt-mode) _proglog_words 'accept send required'; return ;;
        serve:--gossip-profile) _proglog_words 'lan wan local'; return ;;
        serve:--fsync) _proglog_words 'always interval os'; return ;;
        serve:--log-level) _proglog_words 'debug info warning error'; return ;;
        produce:--format) _proglog_words 'line null jsonl file'; return ;;
        produce:--acks|segments:--verify) _proglog_words 'all'; return ;;
        produce:--on-error) _proglog_words 'stop skip'; return ;;
        produce:--profile|consume:--profile|dash:--profile|members:--profile|status:--profile|copies:--profile|\
        lag:--profile|wait:--profile|check:--profile|positions:--profile|segments:--profile|losses:--profile|\
        join:--profile|drain:--profile|leave:--profile|force-leave:--profile|tags:--profile|rtt:--profile|\
        event:--profile|events:--profile|query:--profile|keys:--profile|backup:--profile|bench:--profile) _proglog_names profiles; return ;;
        consume:--as) _proglog_names positions; return ;;
        consume:--group-by) _proglog_words 'key origin value'; return ;;
        consume:--format) _proglog_words 'line null'; return ;;
        consume:--origin|query:--node) _proglog_names members; return ;;
        dash:--notify) _proglog_words 'off bell desktop'; return ;;
        check:--output|check:-o) _proglog_words 'table json jsonl plain nagios prometheus'; return ;;
        profile:--colour) _proglog_words 'red green yellow blue'; return ;;
    esac
    case $current in
        -*) case $verb in
        '') _proglog_words '--help --version' ;;
        demo) _proglog_words '--input --no-dash --keep --quiet -q --verbose -v --debug --utc --output -o --help' ;;
        serve) _proglog_words '--output -o --config --node-name --data-dir --bind-addr --rpc-port --advertise-addr --rpc-advertise-addr --start-join-addrs --acl-model-file --acl-policy-file --server-tls-cert-file --server-tls-key-file --server-tls-ca-file --peer-tls-cert-file --peer-tls-key-file --peer-tls-ca-file --encrypt-file --encrypt-mode --tag --gossip-profile --gossip-label --gossip-allow --validate-node-names --event-handler --replay-events --serf-rpc-addr --serf-rpc-auth-file --metrics-addr --trace-endpoint --insecure --insecure-gossip --fsync --segment-bytes --retention-bytes --retention-age --quiet -q --verbose -v --debug --utc --log-level --help' ;;
        produce) _proglog_words '--format --key --key-sep --header --acks --ack-timeout --rate --repeat --checkpoint --on-error --rejects --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        consume) _proglog_words '--follow -f --limit -n --reverse --as --reset --commit-interval --print-cursor --skip-gone --dry-run --group-by --format --output -o --raw --key --header --origin --grep --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        dash) _proglog_words '--demo --web --port --replay --html --record --allow-writes --also --notify --theme --config --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        members) _proglog_words '--output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        status) _proglog_words '--output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        copies) _proglog_words '--dry-run --output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        lag) _proglog_words '--output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        wait) _proglog_words '--members --healthy --for --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        check) _proglog_words '--output -o --explain --each --lag-records --lag-seconds --disk-free --certificate-days --members --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        positions) _proglog_words '--dry-run --yes -y --reset --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        segments) _proglog_words '--dry-run --output -o --watch --verify --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        losses) _proglog_words '--reason --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        join) _proglog_words '--output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        drain) _proglog_words '--for --stay --resume --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        leave) _proglog_words '--output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        force-leave) _proglog_words '--prune --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        tags) _proglog_words '--set --delete --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        rtt) _proglog_words '--output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        event) _proglog_words '--coalesce --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        events) _proglog_words '--follow -f --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        query) _proglog_words '--node --tag --no-ack --relay-factor --for --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        keys) _proglog_words '--output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        backup) _proglog_words '--verify --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        restore) _proglog_words '--lossy --quiet -q --verbose -v --debug --utc --output -o --help' ;;
        verify) _proglog_words '--dry-run --quiet -q --verbose -v --debug --utc --output -o --help' ;;
        doctor) _proglog_words '--quiet -q --verbose -v --debug --utc --output -o --help' ;;
        certs) _proglog_words '--host --client --renew --quiet -q --verbose -v --debug --utc --output -o --help' ;;
        acl) _proglog_words '--acl-model-file --acl-policy-file --quiet -q --verbose -v --debug --utc --output -o --help' ;;
        profile) _proglog_words '--addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --colour --warning --quiet -q --verbose -v --debug --utc --output -o --help' ;;
        config) _proglog_words '--quiet -q --verbose -v --debug --utc --output -o --help' ;;
        bench) _proglog_words '--records --value-bytes --rate --nodes --output -o --yes -y --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --quiet -q --verbose -v --debug --utc --profile --help' ;;
        completion) _proglog_words '--quiet -q --verbose -v --debug --utc --output -o --help' ;;
        spec) _proglog_words '--quiet -q --verbose -v --debug --utc --output -o --help' ;;
        help) _proglog_words '--quiet -q --verbose -v --debug --utc --output -o --help' ;;
        esac; return ;;
    esac
    [ -n "$verb" ] || { _proglog_words 'demo serve produce consume dash members status copies lag wait check positions segments losses join drain leave force-leave tags rtt event events query keys backup restore verify doctor certs acl profile config bench completion spec help --help --version'; return; }
    case $verb:$number in
        acl:1) _proglog_words 'produce consume describe observe replicate operate' ;;
        backup:0) _proglog_files directory ;;
        backup:1) _proglog_files directory ;;
        bench:0) _proglog_words 'all produce consume replicate e2e compare' ;;
        bench:1) _proglog_files file ;;
        bench:2) _proglog_files file ;;
        certs:0) _proglog_files directory ;;
        completion:0) _proglog_words 'bash zsh fish' ;;
        config:0) _proglog_words 'demo serve produce consume dash members status copies lag wait check positions segments losses join drain leave force-leave tags rtt event events query keys backup restore verify doctor certs acl profile config bench completion spec help' ;;
        consume:0) _proglog_ranges ;;
        copies:0) _proglog_ranges ;;
        doctor:0) _proglog_files directory ;;
        force-leave:0) _proglog_names members ;;
        help:0) _proglog_words 'ranges formats templates environment exit-codes consumers demo serve produce consume dash members status copies lag wait check positions segments losses join drain leave force-leave tags rtt event events query keys backup restore verify doctor certs acl profile config bench completion spec help' ;;
        keys:0) _proglog_words 'generate list install use remove' ;;
        losses:0) _proglog_words 'list accept export' ;;
        positions:0) _proglog_words 'list set delete' ;;
        positions:1) _proglog_names positions ;;
        positions:2) _proglog_ranges ;;
        produce:*) _proglog_files file ;;
        profile:0) _proglog_words 'list show create use edit remove' ;;
        profile:1) _proglog_names profiles ;;
        restore:0) _proglog_files directory ;;
        restore:1) _proglog_files directory ;;
        rtt:0) _proglog_names members ;;
        rtt:1) _proglog_names members ;;
        segments:0) _proglog_ranges ;;
        verify:0) _proglog_files directory ;;
        verify:1) _proglog_ranges ;;
    esac
}
complete -F _proglog proglog
