/**
 * Commands that show a running daemon's state (status, cache, upstreams, vips, members), and the two that clear its
 * caches. Each makes one request and prints the result.
 */
import type { Command } from 'commander'
import type { CacheEntryInfo } from '../boundary/messages.ts'
import { fail } from '../base/error.ts'
import type { Status } from '../ops/status.ts'
import type { Io } from './io.ts'
import { daemon, examples, number, search, withDaemon, type DaemonOptions } from './options.ts'
import { showStatus } from './status-text.ts'
import { cell, counted, rowsOf, showDuration, table, type Column } from './table.ts'

/** Prints text, or the daemon's JSON with --json. */
const say = (
  io: Io,
  { json }: DaemonOptions,
  answer: { json: unknown; text: string },
  text: (json: unknown) => string,
): void =>
  io.out(
    json
      ? `${JSON.stringify(answer.json, null, 2)}\n`
      : answer.json === undefined
        ? answer.text
        : text(answer.json),
  )

/** The status in an answer of the daemon. Throws EHTTP if it is something else. */
export const statusOf = (json: unknown): Status => {
  const status = json as Partial<Status> | undefined
  if (status?.node === undefined || !status.health)
    throw fail('what answers there is not a spartan daemon', 'EHTTP')
  return status as Status
}

/** How long ago a Unix time in milliseconds was; 0 means never. */
const since = (at: unknown): string =>
  Number(at) > 0 ? `${showDuration(Math.max(0, Date.now() - Number(at)))} ago` : 'never'

const UPSTREAMS: Column[] = [
  ['UPSTREAM', row => row['name']],
  ['STATE', row => row['state']],
  ['LATENCY', row => (row['srttMs'] ? `${cell(row['srttMs'])} ms` : undefined)],
  ['FAILURES', row => row['failureScore']],
  [
    'NEXT PROBE',
    row => (row['nextProbeInMs'] ? showDuration(Number(row['nextProbeInMs'])) : undefined),
  ],
  [
    'LAST FAILURE',
    row =>
      row['lastFailure']
        ? `${cell(row['lastFailure'])}, ${since(row['lastFailureAt'])}`
        : undefined,
  ],
  ['LAST REPLY', row => since(row['lastReplyAt'])],
]

const ENTRIES: Column[] = [
  ['NAME', row => row['name']],
  ['TYPE', row => row['type']],
  ['KIND', row => row['kind']],
  ['ZONE', row => row['zone']],
  ['TTL', row => row['ttl']],
  ['BYTES', row => row['bytes']],
  ['HITS', row => row['hits']],
]

/** Adds the commands to the program. */
export const addLooks = (program: Command, io: Io): void => {
  withDaemon(program.command('status'))
    .description('what the running daemon is doing, and what is wrong')
    .addHelpText(
      'after',
      examples('spartan status', 'spartan status --json --admin http://127.0.0.1:62080'),
    )
    .action(async (options: DaemonOptions) => {
      const answer = await daemon(options, { path: '/v1/status' })
      say(io, options, answer, json => showStatus(statusOf(json)))
    })

  const cache = program.command('cache').description('look into the cache, or empty it')
  withDaemon(cache.command('list', { isDefault: true }))
    .description('cached answers')
    .option('-l, --limit <number>', 'at most so many', number(1), 100)
    .action((options: DaemonOptions & { limit: number }) =>
      list(io, options, undefined, options.limit),
    )
  withDaemon(cache.command('show'))
    .argument('<name>', 'a name; those below it are shown, too')
    .description('cached answers for one name and the names below it')
    .option('-l, --limit <number>', 'at most so many', number(1), 1000)
    .action((name: string, options: DaemonOptions & { limit: number }) =>
      list(io, options, name, options.limit),
    )
  withDaemon(cache.command('flush'))
    .argument('[name]', 'only this name and the names below it')
    .description('forget cached answers, so that they are asked for again')
    .action(async (name: string | undefined, options: DaemonOptions) => {
      const answer = await daemon(options, {
        method: 'POST',
        path: `/v1/cache/flush${search({ name })}`,
      })
      say(io, options, answer, json => {
        const { flushed } = json as { flushed?: number }
        return `forgot ${counted(flushed ?? 0, 'entry', 'entries')}${name ? ` at or below ${name}` : ''}\n`
      })
    })
  cache.addHelpText(
    'after',
    examples(
      'spartan cache list --limit 20',
      'spartan cache show example.org',
      'spartan cache flush',
      'spartan cache flush corp.example',
    ),
  )

  withDaemon(program.command('upstreams'))
    .description('the servers queries are forwarded to, with their health and latency')
    .addHelpText('after', examples('spartan upstreams'))
    .action(async (options: DaemonOptions) => {
      const answer = await daemon(options, { path: '/v1/upstreams' })
      say(
        io,
        options,
        answer,
        json => table(rowsOf(json, 'upstreams'), UPSTREAMS) || 'no upstreams\n',
      )
    })

  withDaemon(program.command('vips'))
    .description('virtual IPs and their backends, as gossiped between the agents')
    .addHelpText('after', examples('spartan vips', 'spartan vips --json'))
    .action(async (options: DaemonOptions) => {
      const answer = await daemon(options, { path: '/v1/balance' }).catch((er: unknown) => {
        // A daemon of an earlier version has only the list.
        if ((er as { status?: number }).status !== 404) throw er
        return daemon(options, { path: '/v1/vips' })
      })
      say(
        io,
        options,
        answer,
        json => balanceText(json) + (table(rowsOf(json, 'vips'), VIPS) || 'no VIPs\n'),
      )
    })

  withDaemon(program.command('members'))
    .description('the nodes of the gossip ring and their state')
    .option(
      '--nodes',
      'the nodes by address instead, with those that only their records are known of',
    )
    .addHelpText('after', examples('spartan members', 'spartan members --nodes'))
    .action(async (options: DaemonOptions & { nodes?: boolean }) => {
      const answer = await daemon(options, { path: options.nodes ? '/v1/nodes' : '/v1/members' })
      say(io, options, answer, json => table(rowsOf(json, 'members', 'nodes')) || 'no members\n')
    })
}

type ShownBackend = {
  readonly ip?: string
  readonly port?: number
  readonly weight?: number
  readonly state?: string
  readonly node?: string
}

const backend = (one: unknown): string => {
  const { ip, port, weight, state, node } = one as ShownBackend
  const facts = [
    weight === 1 || weight === undefined ? '' : `weight ${weight}`,
    state === 'up' ? '' : state,
    node,
  ]
  const said = facts.filter(Boolean).join(', ')
  const place = ip?.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
  return said ? `${place} (${said})` : place
}

const listed = (value: unknown): unknown => (Array.isArray(value) ? value.map(backend) : value)

const VIPS: Column[] = [
  ['VIP', row => row['vip']],
  ['PROTOCOL', row => row['protocol']],
  ['ADDRESS', row => row['addresses']],
  [
    'IN THE KERNEL',
    row =>
      typeof row['programmed'] === 'boolean' ? (row['programmed'] ? 'yes' : 'no') : undefined,
  ],
  ['CONNECTIONS', row => row['connections']],
  ['BACKENDS', row => listed(row['backends'] ?? row['backend'])],
]

/** The VIP addresses and the state of the balancer, printed above the list. */
const balanceText = (json: unknown): string => {
  const { answer, reason, balancer } = json as {
    answer?: string
    reason?: string
    balancer?: { slots?: number; trouble?: string; notes?: string[] }
  }
  if (answer === undefined) return ''
  const to = answer === 'vip' ? 'their VIP addresses' : 'their backends'
  const lines = [`names resolve to ${to}: ${reason}`]
  if (balancer?.trouble) lines.push(`the balancer: ${balancer.trouble}`)
  for (const note of balancer?.notes ?? []) lines.push(`note: ${note}`)
  return `${lines.join('\n')}\n\n`
}

const list = async (
  io: Io,
  options: DaemonOptions,
  name: string | undefined,
  limit: number,
): Promise<void> => {
  const answer = await daemon(options, { path: `/v1/cache${search({ name, limit })}` })
  say(io, options, answer, json => {
    const rows = rowsOf(json, 'entries') as unknown as CacheEntryInfo[]
    return table(rows, ENTRIES) || `nothing cached${name ? ` at or below ${name}` : ''}\n`
  })
}
