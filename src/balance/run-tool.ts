/** Runs a system tool with input; returns its output and status. Never throws. */
import { spawn } from 'node:child_process'
import { messageOf } from '../base/error.ts'

export type Outcome = {
  readonly pid: number
  /** -1 if it could not be started or was killed. */
  readonly status: number
  readonly out: string
  /** Its error output, or why it did not run; one line. */
  readonly error: string
}

/** A tool that takes longer than this is killed. */
const DEADLINE_MS = 60_000
const MOST_OUTPUT = 64 * 2 ** 20

/** The environment of a system tool: messages that we can read, and a path on which root's tools are. */
export const toolEnv = (): NodeJS.ProcessEnv => ({
  ...process.env,
  LC_ALL: 'C',
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
})

/** `started` gets the process id before the tool can have had any effect. */
export const runTool = (
  command: string,
  args: readonly string[],
  input = '',
  started?: (pid: number) => void,
): Promise<Outcome> =>
  new Promise(resolve => {
    const child = spawn(command, args, { env: toolEnv() })
    const pid = child.pid ?? -1
    if (pid > 0) started?.(pid)
    const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
    let [out, error] = ['', '']
    const end = (status: number, why: string): void => {
      clearTimeout(timer)
      resolve({ pid, status, out, error: why.trim().split('\n')[0]?.slice(0, 500) ?? '' })
    }
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      if (out.length < MOST_OUTPUT) out += part
    })
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      if (error.length < 10_000) error += part
    })
    child.once('error', er => end(-1, `${command} cannot be run: ${messageOf(er)}`))
    child.once('close', (status, signal) =>
      end(status ?? -1, signal ? `${command} was ended by ${signal}` : error),
    )
    // A tool that ends early breaks the pipe; its exit status explains why.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
