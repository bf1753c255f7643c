/** `spartan log`: follows the queries that the running daemon answers, as JSON lines. */
import { InvalidArgumentError, type Command } from 'commander'
import { parseNetwork } from '../config/address.ts'
import { fail } from '../base/error.ts'
import { followDaemon } from '../http/admin-stream.ts'
import type { Io } from './io.ts'
import {
  examples,
  number,
  search,
  socketOf,
  time,
  withDaemon,
  type DaemonOptions,
} from './options.ts'

type LogOptions = DaemonOptions & {
  readonly name?: string
  readonly client?: string
  readonly outcome?: string
  readonly sample: number
  readonly count?: number
  readonly for?: number
}

/** Adds the command to the program. */
export const addLog = (program: Command, io: Io): void => {
  withDaemon(program.command('log'))
    .description('the queries as they are answered, one JSON object per line, until ^C')
    .option('--name <name>', 'only this name and the names below it')
    .option('--client <network>', 'only this client or network; several with commas', networks)
    .option(
      '--outcome <outcome>',
      'only hit, miss, stale, local, failure, refused, or an RCODE such as NXDOMAIN; several with commas',
    )
    .option('--sample <number>', 'only one query out of so many, at random', number(1), 1)
    .option('-n, --count <number>', 'stop after so many queries', number(1))
    .option('--for <time>', 'stop after this time', time)
    .addHelpText(
      'after',
      `${examples('spartan log --name marathon.mesos', 'spartan log --outcome failure,NXDOMAIN --for 1m', 'spartan log --client 10.0.3.0/24 --sample 100')}
A line with "dropped" says how many queries are missing there, because they came faster than they
were read. No answer waits for this log, and it costs nothing while nobody reads it.
`,
    )
    .action((options: LogOptions) => follow(io, options))
}

const networks = (text: string): string => {
  for (const one of text.split(',')) {
    const network = parseNetwork(one)
    if ('problem' in network) throw new InvalidArgumentError(`${network.problem}.`)
  }
  return text
}

const follow = async (io: Io, options: LogOptions): Promise<void> => {
  const { name, client, outcome, sample, count = Infinity } = options
  const enough = new AbortController()
  const timer = setTimeout(() => enough.abort(), Math.min(options.for ?? Infinity, 2 ** 31 - 1))
  let left = count
  try {
    await followQueries(
      await socketOf(options),
      { name, client, outcome, sample },
      line => {
        if (left <= 0) return
        io.out(`${line}\n`)
        if (!line.includes('"dropped":') && --left <= 0) enough.abort()
      },
      AbortSignal.any([io.interrupted, enough.signal]),
    )
  } finally {
    clearTimeout(timer)
  }
}

/** Passes the lines of the daemon's query log to `onLine` until the signal is aborted. */
export const followQueries = async (
  socket: string,
  filter: Readonly<Record<string, string | number | undefined>>,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  if (socket === '')
    throw fail('the query log is only on the Unix socket of the daemon, and it has none', 'EHTTP')
  const skipEmpty = (line: string): void => {
    if (line !== '') onLine(line)
  }
  await followDaemon(socket, `/v1/log${search(filter)}`, skipEmpty, signal)
}
