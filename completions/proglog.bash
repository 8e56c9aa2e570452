# bash completion for proglog. Generated: `make completions`.
_proglog() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb= word flags=
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in -*) ;; *) verb=$word; break ;; esac
    done
    case $previous in
        --fsync) COMPREPLY=($(compgen -W 'always interval os' -- "$current")); return ;;
        --log-level) COMPREPLY=($(compgen -W 'debug info warning error' -- "$current")); return ;;
        --format) COMPREPLY=($(compgen -W 'line null json' -- "$current")); return ;;
        --output|-o) COMPREPLY=($(compgen -W 'table json jsonl plain' -- "$current")); return ;;
        --input|--config|--data-dir|--acl-model-file|--acl-policy-file|--server-tls-cert-file|--server-tls-key-file|--server-tls-ca-file|--peer-tls-cert-file|--peer-tls-key-file|--peer-tls-ca-file|--encrypt-file|--serf-rpc-auth-file|--tls-ca-file|--tls-cert-file|--tls-key-file|--replay|--record) COMPREPLY=($(compgen -f -- "$current")); return ;;
        --keep|--node-name|--bind-addr|--rpc-port|--advertise-addr|--rpc-advertise-addr|--start-join-addrs|--encrypt-mode|--tag|--gossip-profile|--gossip-label|--gossip-allow|--event-handler|--serf-rpc-addr|--metrics-addr|--segment-bytes|--retention-bytes|--retention-age|--key-sep|--acks|--ack-timeout|--addr|--timeout|--wait|--profile|--limit|-n|--as|--commit-interval|--port|--theme|--at|--members|--for|--lag-records|--lag-seconds|--disk-free|--certificate-days|--verify|--reason|--set|--delete|--node|--relay-factor|--host|--client|--colour|--warning|--records|--value-bytes|--nodes) COMPREPLY=(); return ;;
    esac
    case $verb in
        '') COMPREPLY=($(compgen -W 'demo serve produce consume dash members status copies lag wait check positions segments losses join drain leave force-leave tags rtt event events query keys verify doctor certs acl profile config bench completion spec help --help --version' -- "$current")); return ;;
        completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$current")); return ;;
        demo) flags='--input --no-dash --keep --help' ;;
        serve) flags='--config --node-name --data-dir --bind-addr --rpc-port --advertise-addr --rpc-advertise-addr --start-join-addrs --acl-model-file --acl-policy-file --server-tls-cert-file --server-tls-key-file --server-tls-ca-file --peer-tls-cert-file --peer-tls-key-file --peer-tls-ca-file --encrypt-file --encrypt-mode --tag --gossip-profile --gossip-label --gossip-allow --validate-node-names --event-handler --replay-events --serf-rpc-addr --serf-rpc-auth-file --metrics-addr --insecure --insecure-gossip --fsync --segment-bytes --retention-bytes --retention-age --log-level --help' ;;
        produce) flags='--format --key-sep --acks --ack-timeout --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        consume) flags='--follow -f --limit -n --as --reset --commit-interval --print-cursor --skip-gone --format --output -o --raw --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        dash) flags='--demo --web --port --replay --record --allow-writes --theme --config --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        members) flags='--output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        status) flags='--output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        copies) flags='--output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        lag) flags='--output -o --watch --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        wait) flags='--members --healthy --for --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        check) flags='--output -o --explain --each --lag-records --lag-seconds --disk-free --certificate-days --members --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        positions) flags='--reset --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        segments) flags='--output -o --watch --verify --replay --at --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        losses) flags='--reason --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        join) flags='--addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        drain) flags='--for --stay --resume --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        leave) flags='--addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        force-leave) flags='--prune --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        tags) flags='--set --delete --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        rtt) flags='--output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        event) flags='--coalesce --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        events) flags='--follow -f --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        query) flags='--node --tag --no-ack --relay-factor --for --output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        keys) flags='--output -o --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        verify) flags='--output -o --help' ;;
        doctor) flags='--output -o --help' ;;
        certs) flags='--host --client --renew --output -o --help' ;;
        acl) flags='--acl-model-file --acl-policy-file --output -o --help' ;;
        profile) flags='--addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --colour --warning --output -o --help' ;;
        config) flags=' --help' ;;
        bench) flags='--records --value-bytes --nodes --output -o --yes --addr --tls-ca-file --tls-cert-file --tls-key-file --timeout --wait --profile --help' ;;
        completion) flags=' --help' ;;
        spec) flags=' --help' ;;
        help) flags=' --help' ;;
    esac
    case $current in
        -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
        *) case $verb in produce) COMPREPLY=($(compgen -f -- "$current")) ;; esac ;;
    esac
}
complete -o filenames -F _proglog proglog
