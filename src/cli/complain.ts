/** What a command that failed prints, for people and as JSON, and its exit status. */
import type { CommanderError } from 'commander'
import { problemsOf, showProblem } from '../config/config.ts'
import { codeOf, messageOf } from '../base/error.ts'
import { DONE, FAILED, WRONG, type Io } from './io.ts'

/** Whether the command line asks for JSON; then there is a JSON object for an error, too. */
export const asksJson = (args: readonly string[]): boolean => {
  const end = args.indexOf('--')
  return args.slice(0, end < 0 ? undefined : end).includes('--json')
}

/**
 * The result of a command that failed, on standard output, where a program looks for it. One line, because it may
 * follow lines that were printed before.
 */
const sayError = (io: Io, error: string, code: string, more: object = {}): void =>
  io.out(`${JSON.stringify({ error, code, ...more }).replace(CONTROLS, escaped)}\n`)

/** What terminals may obey, and JSON leaves as it is. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u007f-\u009f]/g
const escaped = (control: string): string =>
  `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`

/** After an error that a command threw. */
export const complain = (io: Io, er: unknown, json: boolean): number => {
  const code = codeOf(er)
  const { file, status } = er as { file?: string; status?: number }
  const problems = problemsOf(er)
  const wrong = code === 'EUSAGE' || code === 'ECONFIG' || problems.length > 0
  if (json) {
    const about = problems.length > 0 ? { file, problems } : {}
    sayError(io, messageOf(er), code, { ...about, ...(status === undefined ? {} : { status }) })
  }
  if (problems.length > 0)
    for (const problem of problems) io.err(`${showProblem(file ?? '', problem)}\n`)
  else io.err(`spartan: ${messageOf(er)}\n`)
  // Errors with our codes or the system's are expected failures and print one line. Any other error is a bug and
  // prints its stack.
  if (problems.length === 0 && !/^E[A-Z0-9]+$/.test(code) && er instanceof Error)
    io.err(`${er.stack ?? ''}\n`)
  return wrong ? WRONG : FAILED
}

/** After a command line that cannot be used, or after help. Commander has printed text for people already. */
export const complainOfUsage = (io: Io, er: CommanderError, json: boolean): number => {
  if (er.exitCode === 0) return DONE
  // The help of a command that needs another word is no message.
  const missing = er.code === 'commander.help'
  if (json)
    sayError(io, missing ? 'a command is missing' : er.message.replace(/^error: /, ''), 'EUSAGE')
  return WRONG
}
