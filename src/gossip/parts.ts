/**
 * Creates the parts of one member and connects them. This is the only place that shows which part calls which; each
 * part only sees the callbacks that it receives here.
 */
import type { CoreOptions, Effect } from './core-options.ts'
import type { MemberEvent } from './rider.ts'
import { answerKeys, keyOperation } from './serf/keys.ts'
import { Serf } from './serf/serf.ts'
import { writeTags } from './serf/tags.ts'
import { Twin } from './serf/twin.ts'
import { RecordsTransport } from './swim/records-transport.ts'
import type { Env } from './swim/env.ts'
import { Health } from './swim/health.ts'
import { Inbox } from './swim/inbox.ts'
import { type Entry, memberOf, MemberTable, Nodes } from './swim/members.ts'
import { Post } from './swim/post.ts'
import { PROBE_MS, Prober } from './swim/probe.ts'
import { Queue } from './swim/queue.ts'
import { Rejoin } from './swim/rejoin.ts'
import { Rounds } from './swim/rounds.ts'
import { Streams } from './swim/streams.ts'
import { Swim } from './swim/swim.ts'
import type { Job } from './swim/sync.ts'
import { Syncs } from './swim/syncs.ts'
import type { Endpoint } from './wire/address.ts'
import { readAck } from './wire/messages.ts'
import { TYPE } from './wire/types.ts'

/**
 * Protocol versions that we announce, the same as serf 0.8: memberlist 1 to 5, speaking 2; Serf 2 to 5, speaking 5.
 */
const VERSIONS = Uint8Array.of(1, 5, 2, 2, 5, 5)
/** Default limit of members: 10,000 for the ring, and as many for old names of renamed nodes. */
const MEMBERS_MOST = 20_000
/** Serf's query when two nodes use one name: it asks every member for the address it knows. */
const CONFLICT_QUERY = '_serf_conflict'

export type Parts = {
  readonly swim: Swim
  readonly serf: Serf
  readonly prober: Prober
  readonly post: Post
  readonly streams: Streams
  readonly transport: RecordsTransport
  readonly syncs: Syncs
  readonly rejoin: Rejoin
  readonly rounds: Rounds
  readonly inbox: Inbox
  readonly health: Health
}

/** Collects what the driver must do, and work that the core does later. */
export type Out = {
  readonly effect: (effect: Effect) => void
  readonly work: (job: Job) => void
  /** The ring keeps the node at `other`, which has our name. */
  readonly outvoted: (other: Endpoint) => void
}

/** All parts of a member, connected. */
export const assembled = (options: CoreOptions, env: Env, out: Out): Parts => {
  const nodes = options.nodes ?? new Nodes()
  const meta = writeTags(options.tags) ?? new Uint8Array(0)
  const self = nodes.of({
    node: options.name,
    address: options.address,
    port: options.port,
    meta,
    versions: VERSIONS,
  })
  const news = new Queue()
  const health = new Health()
  const serf: Serf = new Serf(env, {
    swim: () => swim,
    send: (to, message) => post.user(to, message),
    onUserEvent: event =>
      options.onEvent({
        type: 'userEvent',
        name: event.name,
        payload: event.payload,
        ltime: event.ltime,
      }),
    onQuery: (name, payload) => answer(name, payload),
  })
  const swim: Swim = new Swim(
    env,
    new MemberTable(options.roster),
    nodes,
    news,
    health,
    {
      onEvent: (type, entry) => onEntry(type, entry),
      verify: (name, at, accusation, done) => prober.verify(name, at, accusation, done),
      isLeaving: name => serf.intents.isLeaving(name),
      onConflict: (known, other) => onConflict(known, other),
      onIncarnation: incarnation => options.onIncarnation?.(incarnation),
    },
    {
      self,
      incarnation: options.incarnation,
      membersMost: options.membersMost ?? MEMBERS_MOST,
      probeMs: PROBE_MS,
    },
  )
  const post: Post = new Post(env, swim, serf, news, {
    label: options.label ?? '',
    keyring: options.keyring,
    send: (to, bytes) => out.effect({ do: 'packet', to, bytes }),
    digest: () => transport.digest(),
  })
  const streams = new Streams(env, {
    reader: () => post.streamReader(),
    open: (id, to, bytes) => out.effect({ do: 'open', id, to, bytes }),
    close: id => out.effect({ do: 'close', id }),
    onMessage: (id, from, message) => inbox.stream(id, from, message),
    work: out.work,
  })
  const transport: RecordsTransport = new RecordsTransport(
    env,
    swim,
    post,
    streams,
    options.rider,
    options.recordsPerSecond,
  )
  const prober = new Prober(
    env,
    swim,
    health,
    {
      send: (to, node, messages) => post.send(to, node, messages),
      pingByStream: (to, message, seq, ms, done) => pingByStream(to, message, seq, ms, done),
    },
    () => post.source(),
  )
  const end = (id: number, bytes: Uint8Array): void => out.effect({ do: 'end', id, bytes })
  const close = (id: number): void => out.effect({ do: 'close', id })
  const syncs = new Syncs(env, swim, serf, post, streams, {
    work: out.work,
    write: end,
    close,
  })
  const rejoin = new Rejoin(env, swim, serf, syncs, options.seeds ?? [])
  const rounds = new Rounds(env, swim, post)
  const inbox = new Inbox(env, {
    swim,
    prober,
    serf,
    transport: transport,
    syncs,
    post,
    end,
    close,
  })

  const twin = new Twin(env, {
    ask: done => serf.query(CONFLICT_QUERY, Buffer.from(options.name), done),
    verify: (other, done) => prober.verify(options.name, other, undefined, done),
    ours: () => swim.self.node,
    onOutvoted: out.outvoted,
  })

  const pingByStream = (
    to: Endpoint,
    message: Uint8Array,
    seq: number,
    ms: number,
    done: (ok: boolean) => void,
  ): void => {
    const opened = streams.open('ping', to, post.frame([message]), ms, answered =>
      done(answered?.[0] === TYPE.ack && readAck(answered.subarray(1))?.seq === seq),
    )
    if (!opened) done(false)
  }

  const answer = (name: string, payload: Uint8Array): Uint8Array | undefined => {
    if (name === CONFLICT_QUERY) return serf.conflictAnswer(Buffer.from(payload).toString('utf8'))
    const operation = keyOperation(name)
    if (!operation) return undefined
    const { keyring } = options
    const before = keyring?.primary
    const response = answerKeys(operation, payload, keyring)
    const primaryChanged = keyring?.primary !== before
    if (operation !== 'list')
      env.log.info('the ring changes its keys', { operation, primaryChanged })
    return response
  }

  const onEntry = (type: MemberEvent['type'], entry: Entry): void => {
    if (type === 'join') serf.joined(entry)
    if (type === 'reap') serf.reaped(entry)
    const event = { type, member: memberOf(entry) }
    options.rider?.onMember(event, env.now)
    options.onEvent(event)
  }

  const onConflict = (known: Entry, other: Endpoint): void => {
    const { name, address } = known.node
    env.log.warn('two nodes go by one name', { member: name, known: address, other: other.address })
    options.onEvent({ type: 'conflict', member: memberOf(known), other })
    if (name === env.name) twin.met(other)
  }

  return {
    swim,
    serf,
    prober,
    post,
    streams,
    transport: transport,
    syncs,
    rejoin,
    rounds,
    inbox,
    health,
  }
}
