# Completion of stave(1) for bash: what there is, `stave` itself tells (its commands, those of modules, hosts, accounts).
_stave() {
    local line=${COMP_LINE:0:COMP_POINT} typed=${COMP_WORDS[COMP_CWORD]} candidate words word part
    read -r -a words <<<"$line"
    case $line in *[[:space:]]) words+=("") ;; esac
    word=${words[${#words[@]} - 1]}
    # bash takes @ : and = for ends of words and replaces only what stands behind the last of them
    case $typed in [@:=]*) typed=${typed:1} ;; esac
    part=${word%"$typed"}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$part"}")
    done < <("$1" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _stave stave
