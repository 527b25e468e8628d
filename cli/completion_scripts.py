"""The completion scripts of the shells: static, so that completing starts no process and needs no API.

Pure; called by the completion command with a table: chain of words -> what may follow it.
"""

from collections.abc import Callable, Mapping, Sequence

Tree = Mapping[str, Sequence[str]]

_BASH = """\
# bash completion of podform
_podform() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" chain="" place=1 candidates=""
    while [ "$place" -lt "$COMP_CWORD" ]; do
        case "${{COMP_WORDS[place]}}" in
            -*) ;;
            *) if _podform_follow "$chain${{chain:+ }}${{COMP_WORDS[place]}}" >/dev/null; then
                   chain="$chain${{chain:+ }}${{COMP_WORDS[place]}}"
               fi ;;
        esac
        place=$((place + 1))
    done
    candidates="$(_podform_follow "$chain")"
    COMPREPLY=($(compgen -W "$candidates" -- "$word"))
}}
_podform_follow() {{
    case "$1" in
{cases}
        *) return 1 ;;
    esac
}}
complete -o default -F _podform podform
"""
_ZSH = """\
# zsh completion of podform: bash's, through zsh's own emulation of it
autoload -U +X bashcompinit && bashcompinit
"""


def bash(tree: Tree) -> str:
    """The script for bash."""
    cases = "\n".join(f"        '{chain}') echo '{' '.join(words)}' ;;" for chain, words in tree.items())
    return _BASH.format(cases=cases)


def zsh(tree: Tree) -> str:
    """The script for zsh."""
    return _ZSH + bash(tree)


def fish(tree: Tree) -> str:
    """The script for fish."""
    lines = ["# fish completion of podform"]
    for chain, words in tree.items():
        seen = "".join(f"; and __fish_seen_subcommand_from {word}" for word in chain.split())
        condition = seen.removeprefix("; and ") if chain else "__fish_use_subcommand"
        for word in words:
            what = f"-l {word.removeprefix('--')}" if word.startswith("--") else f"-f -a {word}"
            lines.append(f"complete -c podform -n '{condition}' {what}")
    return "\n".join(lines) + "\n"


SCRIPTS: Mapping[str, Callable[[Tree], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
