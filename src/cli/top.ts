/**
 * `spartan top`: what the running daemon is asked, by whom, and how it answers, refreshed until ^C. Names, clients and
 * outcomes come from a sample of the query log; rates and upstreams from the status.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { codeOf } from '../base/error.ts'
import type { DataStatus } from '../boundary/messages.ts'
import type { LoggedQuery } from '../ops/query-log.ts'
import type { Status } from '../ops/status.ts'
import { HeavyHitters } from './heavy-hitters.ts'
import type { Io } from './io.ts'
import { followQueries } from './log.ts'
import { statusOf } from './look.ts'
import {
  daemon,
  examples,
  number,
  socketOf,
  time,
  withDaemon,
  type DaemonOptions,
} from './options.ts'
import { cell, counted, rowsOf, showBytes, table } from './table.ts'

type TopOptions = DaemonOptions & {
  readonly interval: number
  readonly times?: number
  readonly once?: boolean
}

/** Adds the command to the program. */
export const addTop = (program: Command, io: Io): void => {
  withDaemon(program.command('top'))
    .description(
      'rates, hit rate, names, clients and upstreams as they are now; refreshed until ^C',
    )
    .option('-i, --interval <time>', 'time between two looks', time, 2000)
    .option(
      '-n, --times <number>',
      'stop after so many looks (default: 1 unless on a terminal)',
      number(1),
    )
    .option('--once', 'stop after one look')
    .addHelpText('after', examples('spartan top', 'spartan top --once --json'))
    .action((options: TopOptions) => top(io, options))
}

/** Queries per second that are read at most; of more, a sample is taken. */
const MOST_PER_SECOND = 500
/** Names and clients that are remembered. */
const REMEMBERED = 1_000
const NAMES = 20
const CLIENTS = 8
/** What was counted before fades by this factor with each look. */
const FADE = 0.7
/** Moves the cursor to the top and clears from there, which does not flicker or scroll. */
const CLEAR = '\u001b[H\u001b[J'

/** A sample of the queries. */
class Sample {
  readonly names = new HeavyHitters(REMEMBERED)
  readonly clients = new HeavyHitters(REMEMBERED)
  readonly outcomes = new HeavyHitters(REMEMBERED)
  readonly #leave = new AbortController()
  /** Resolves when nothing more comes, e.g. because the daemon has no query log. */
  readonly ended: Promise<void>
  over = false

  constructor(socket: string, every: number) {
    const onLine = (line: string): void => {
      const { name, type, client, outcome } = JSON.parse(line) as Partial<LoggedQuery>
      if (name === undefined || client === undefined || outcome === undefined) return
      this.names.add(`${type ?? ''} ${name}`)
      this.clients.add(client)
      this.outcomes.add(outcome)
    }
    this.ended = followQueries(socket, { sample: every }, onLine, this.#leave.signal)
      .catch(() => {})
      .then(() => void (this.over = true))
  }

  fade(): void {
    for (const one of [this.names, this.clients, this.outcomes]) one.decay(FADE)
  }

  stop(): void {
    this.#leave.abort()
  }
}

const top = async (io: Io, options: TopOptions): Promise<void> => {
  // If the output is a file or a pipe, the command prints once.
  const times = options.once ? 1 : (options.times ?? (io.tty && !options.json ? Infinity : 1))
  const look = async (): Promise<Status> =>
    statusOf((await daemon(options, { path: '/v1/status' })).json)
  const pause = (): Promise<unknown> =>
    sleep(options.interval, undefined, { signal: io.interrupted }).catch(() => {})
  let status = await look()
  const every = Math.max(1, Math.ceil(status.lastMinute.qps / MOST_PER_SECOND))
  const sample = new Sample(await socketOf(options), every)
  try {
    // The first look waits for something to show, unless there is no sample.
    await Promise.race([sample.ended, pause()])
    for (let i = 0; i < times && !io.interrupted.aborted; i++) {
      if (i > 0) await pause()
      if (io.interrupted.aborted) return
      const before = status
      if (i > 0 || !sample.over) status = await look()
      const view = viewOf(before, status, sample, await namesOf(options, status, sample))
      // With several looks each is one line, so that a program can read them as they come.
      if (options.json) io.out(`${JSON.stringify(view, null, times > 1 ? 0 : 2)}\n`)
      else io.out((io.tty && times > 1 ? CLEAR : '') + topText(status, view))
      sample.fade()
    }
  } finally {
    sample.stop()
    await sample.ended
  }
}

type Name = {
  readonly name: string
  readonly type: string
  readonly share?: number
  readonly count?: number
}

/** The names queried most: from the sample, or else from the daemon's own list. */
const namesOf = async (options: DaemonOptions, status: Status, sample: Sample): Promise<Name[]> => {
  if (!sample.over || sample.names.total > 0)
    return sample.names.top(NAMES).map(({ key, share }) => {
      const [type = '', name = ''] = key.split(/ (.*)/)
      return { share, type, name }
    })
  try {
    const { json } = await daemon(options, { path: '/v1/top' })
    return rowsOf(json, 'top') as unknown as DataStatus['top'][number][]
  } catch (er) {
    if (codeOf(er) === 'EHTTP' && (er as { status?: number }).status === 404) return [...status.top]
    throw er
  }
}

/** What one look shows; the fields of `lastMinute` are those of the status. */
const viewOf = (before: Status, now: Status, sample: Sample, names: readonly Name[]) => {
  const won = (status: Status, slot: number): number =>
    status.upstreams.find(upstream => upstream.slot === slot)?.wins ?? 0
  return {
    ...now.lastMinute,
    outcomes: sample.outcomes.top(NAMES).map(({ key, share }) => ({ outcome: key, share })),
    upstreams: now.upstreams.map(({ slot, name, state, srttMs }) => ({
      name,
      state,
      srttMs,
      wins: Math.max(0, won(now, slot) - won(before, slot)),
    })),
    clients: sample.clients.top(CLIENTS).map(({ key, share }) => ({ share, client: key })),
    top: names,
  }
}

const percent = (share: unknown): string | undefined =>
  typeof share === 'number' ? `${(share * 100).toFixed(1)} %` : undefined

const topText = (status: Status, view: ReturnType<typeof viewOf>): string => {
  const { qps, hitRatio, p50, p99, stale, rcodes, outcomes, upstreams, clients, top: names } = view
  const ms = (seconds: number | undefined): string =>
    seconds === undefined ? '-' : `${cell(seconds * 1000)} ms`
  const answers = Object.values(rcodes).reduce((a, b) => a + b, 0)
  const sampled = names.some(({ share }) => share !== undefined)
  const shares = (list: readonly (readonly [string, number])[]): string =>
    list.map(([name, share]) => `${cell(name)} ${percent(share)}`).join('  ')
  return [
    `${status.node}  ${cell(qps)} queries/s  ${percent(hitRatio) ?? '-'} hits  p50 ${ms(p50)}  p99 ${ms(p99)}  ${stale} stale`,
    `cache ${counted(status.cache.entries, 'entry', 'entries')}, ${showBytes(status.cache.bytes)}  in flight ${status.inFlight}  TCP ${status.tcpConnections}`,
    ...(answers > 0
      ? [shares(Object.entries(rcodes).map(([name, n]) => [name, n / answers]))]
      : []),
    ...(outcomes.length > 0 ? [shares(outcomes.map(one => [one.outcome, one.share]))] : []),
    '',
    ...[
      table(upstreams, [
        ['UPSTREAM', row => row['name']],
        ['STATE', row => row['state']],
        ['LATENCY', row => (row['srttMs'] ? `${cell(row['srttMs'])} ms` : undefined)],
        ['WON', row => row['wins']],
      ]),
      table(clients, [
        ['SHARE', row => percent(row['share'])],
        ['CLIENT', row => row['client']],
      ]),
    ].filter(text => text !== ''),
    table(names, [
      sampled ? ['SHARE', row => percent(row['share'])] : ['COUNT', row => row['count']],
      ['TYPE', row => row['type']],
      ['NAME', row => row['name']],
    ]) || 'no queries yet\n',
  ].join('\n')
}
