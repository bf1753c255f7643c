#!/usr/bin/env node
/** The program `spartan`: connects the command line (cli/) with the real terminal and the process's exit status. */
import { fail } from './base/error.ts'
import { startThreads } from './daemon/threads.ts'

const args = process.argv.slice(2)
// Begins before anything else is loaded, so that the threads load their code at the same time.
const threads = args[0] === 'run' ? startThreads() : undefined

/** Limit of standard input, which holds at most a key. */
const MAX_INPUT = 64 * 1024

const input = async (): Promise<string> => {
  let text = ''
  for await (const part of process.stdin.setEncoding('utf8') as AsyncIterable<string>) {
    text += part
    if (text.length > MAX_INPUT) throw fail('standard input is too long', 'EUSAGE')
  }
  return text
}

// The reader of a pipe may close it early (`spartan cache list | head`); that is not a failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (er: NodeJS.ErrnoException) => process.exit(er.code === 'EPIPE' ? 0 : 1))
}

const interruption = new AbortController()
let signalled = false
const io = {
  out: (text: string): void => void process.stdout.write(text),
  err: (text: string): void => void process.stderr.write(text),
  input,
  tty: process.stdout.isTTY === true,
  /** ^C keeps its default effect for commands that never read this property. */
  get interrupted(): AbortSignal {
    if (!signalled) {
      signalled = true
      process.once('SIGINT', () => interruption.abort())
    }
    return interruption.signal
  },
}

const main = async (): Promise<void> => {
  const { runCli } = await import('./cli/program.ts')
  process.exitCode = await runCli(args, io, threads)
  // The daemon has closed everything; a handle that some part left open must not keep the process alive.
  if (threads) process.exit()
}
void main()
