#!/usr/bin/env node
/**
 * The program `spartan`: argv to a command to an exit status, and the real
 * terminal behind it. Everything else is in cli/.
 */
import { hurry } from './base/heap.ts'
import { fail } from './base/error.ts'
import { startThreads, type Threads } from './daemon/threads.ts'

const args = process.argv.slice(2)
const start = (): Threads => {
  hurry()
  return startThreads()
}
// Before anything else is loaded: all three threads do it at once.
const threads = args[0] === 'run' ? start() : undefined
const { runCli } = await import('./cli/program.ts')

/** Standard input holds a key at most. */
const MAX_INPUT = 64 * 1024

const input = async (): Promise<string> => {
  let text = ''
  for await (const part of process.stdin.setEncoding('utf8') as AsyncIterable<string>) {
    text += part
    if (text.length > MAX_INPUT) throw fail('standard input is too long', 'EUSAGE')
  }
  return text
}

// The reader of a pipe may leave early (`spartan cache list | head`): no failure.
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
  /** Only commands that look at it take ^C away from the default, so it is hooked up on first sight. */
  get interrupted(): AbortSignal {
    if (!signalled) {
      signalled = true
      process.once('SIGINT', () => interruption.abort())
    }
    return interruption.signal
  },
}

process.exitCode = await runCli(args, io, threads)
// The daemon has closed what it has; whatever a part left open must not keep the process.
if (threads) process.exit()
