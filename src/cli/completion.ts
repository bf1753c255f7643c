/**
 * `spartan completion SHELL`: prints a script that completes commands and options. It is generated from the command
 * line definition, so it is always up to date.
 */
import { Argument, type Command } from 'commander'
import type { Io } from './io.ts'
import { examples } from './options.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

/** A command, and the words that may follow it. */
type Words = {
  /** 'cache flush'; '' is the program itself. */
  readonly path: string
  readonly commands: readonly Described[]
  readonly options: readonly (Described & { readonly file: boolean })[]
}
type Described = { readonly word: string; readonly description: string }

/** Every command with its subcommands and options, in the order of the help. */
const wordsOf = (command: Command, path: readonly string[] = []): Words[] => [
  {
    path: path.join(' '),
    commands: command.commands.map(inner => ({
      word: inner.name(),
      description: inner.description(),
    })),
    options: command.options
      .filter(option => option.long !== null && option.long !== undefined)
      .map(option => ({
        word: option.long!,
        description: option.description,
        file: /<file>|<path>/.test(option.flags),
      })),
  },
  ...command.commands.flatMap(inner => wordsOf(inner, [...path, inner.name()])),
]

/** Text in single quotes of a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** File names are completed for options that take a file, and where a command offers nothing else. */
const bash = (all: readonly Words[]): string => {
  const files = [...new Set(all.flatMap(w => w.options.filter(o => o.file).map(o => o.word)))]
  return `# Completion of spartan for bash: source it, or put it into /usr/share/bash-completion/completions/spartan
_spartan() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path= word
  COMPREPLY=()
  case $before in ${files.join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;; esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case " ${all
      .map(w => w.path)
      .filter(Boolean)
      .map(path => path.replaceAll(' ', '/'))
      .join(' ')} " in *" \${path:+$path/}$word "*) path=\${path:+$path/}$word ;; esac
  done
  case $path in
${all
  .map(
    w =>
      `    ${quoted(w.path.replaceAll(' ', '/'))}) COMPREPLY=($(compgen -W ${quoted(
        [...w.commands, ...w.options, { word: '--help' }].map(({ word }) => word).join(' '),
      )} -- "$current")) ;;`,
  )
  .join('\n')}
  esac
}
complete -o default -F _spartan spartan
`
}

const zsh = (all: readonly Words[]): string => {
  const item = ({ word, description }: Described): string =>
    quoted(`${word}:${description.replaceAll(':', '\\:')}`)
  return `#compdef spartan
# Completion of spartan for zsh: put it into a folder of $fpath as _spartan
_spartan() {
  local path= word
  local -a found
  for word in "\${words[@]:1:CURRENT-2}"; do
    case $path/$word in
${all
  .filter(w => w.path !== '')
  .map(w => `      /${w.path.replaceAll(' ', '/')}) path=/${w.path.replaceAll(' ', '/')} ;;`)
  .join('\n')}
    esac
  done
  case $path in
${all
  .map(
    w =>
      `    ${quoted(w.path === '' ? '' : `/${w.path.replaceAll(' ', '/')}`)}) found=(${[
        ...w.commands,
        ...w.options,
      ]
        .map(item)
        .join(' ')}) ;;`,
  )
  .join('\n')}
  esac
  _describe spartan found
  _files
}
compdef _spartan spartan
`
}

const fish = (all: readonly Words[]): string => {
  const lines = all.flatMap(w => {
    const path = w.path.split(' ').filter(Boolean)
    const here = [
      ...path.map(word => `__fish_seen_subcommand_from ${word}`),
      ...(path.length > 0 && w.commands.length > 0
        ? [`not __fish_seen_subcommand_from ${w.commands.map(c => c.word).join(' ')}`]
        : []),
    ].join('; and ')
    const when = here === '' ? '__fish_use_subcommand' : here
    return [
      ...w.commands.map(
        c => `complete -c spartan -f -n ${quoted(when)} -a ${c.word} -d ${quoted(c.description)}`,
      ),
      ...w.options.map(
        o =>
          `complete -c spartan ${o.file ? '-rF' : '-f'} -n ${quoted(when)} -l ${o.word.slice(2)} -d ${quoted(o.description)}`,
      ),
    ]
  })
  return `# Completion of spartan for fish: put it into ~/.config/fish/completions/spartan.fish\n${lines.join('\n')}\n`
}

const SCRIPTS: Readonly<Record<Shell, (all: readonly Words[]) => string>> = { bash, zsh, fish }

/** Adds the command to the program. */
export const addCompletion = (program: Command, io: Io): void => {
  program
    .command('completion')
    .description('print a script that completes commands and options in your shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .addHelpText('after', examples('spartan completion bash', 'source <(spartan completion bash)'))
    .action((shell: Shell) => io.out(SCRIPTS[shell](wordsOf(program))))
}
