/**
 * The simulator's scenarios: each function runs one in a world and returns numbers. Times are virtual milliseconds
 * unless named CPU. Tests check these numbers; `main.ts` prints them.
 */
import type { Kind } from '../../src/gossip/records/types.ts'
import type { SimNode, World } from './world.ts'

/** Everything sent so far in octets, headers included. */
export const octetsSent = (world: World): number =>
  world.network.sent.reduce((sum, t) => sum + t.bytes + t.streamBytes, 0)

/** Mean octets per second and node, over `ms` without any publication. */
export const idleTraffic = (world: World, ms: number): number => {
  const before = octetsSent(world)
  world.run(ms)
  return (octetsSent(world) - before) / world.list.length / (ms / 1_000)
}

const live = (world: World): SimNode[] => world.list.filter(node => !world.network.down[node.index])

/** A value of the size of a VIP's backends: 40 octets for about four. */
const valueOf = (world: World, octets = 40): Uint8Array =>
  Uint8Array.from({ length: octets }, () => Math.floor(world.random() * 256))

/** When each node had an update, ms after its publication, ascending; nodes that never had it are missing. */
export type Spread = {
  readonly times: readonly number[]
  readonly nodes: number
  readonly octetsPerNode: number
}

/** The time by which this share of the nodes had it; Infinity if they never did. */
export const timeOf = ({ times, nodes }: Spread, share: number): number =>
  times[Math.ceil(nodes * share) - 1] ?? Infinity

/** Publishes one update on a random node and waits until all have it, at most `limitMs`. */
export const spreadOne = (world: World, name: string, limitMs = 15_000): Spread => {
  const nodes = live(world)
  const from = nodes[Math.floor(world.random() * nodes.length)] as SimNode
  const start = world.clock.now
  const before = octetsSent(world)
  const times: number[] = []
  const stops = nodes.map(node =>
    node.records.onChange(keys => {
      if (keys.some(key => key.name === name)) times.push(world.clock.now - start)
    }),
  )
  from.publish('vip', name, valueOf(world))
  world.run(limitMs, () => times.length >= nodes.length)
  for (const stop of stops) stop()
  return {
    times: times.sort((a, b) => a - b),
    nodes: nodes.length,
    octetsPerNode: (octetsSent(world) - before) / nodes.length,
  }
}

/** `count` updates, one after the other, with pauses of two seconds. */
export const spreadMany = (world: World, count: number): Spread[] =>
  Array.from({ length: count }, (_, i) => {
    const spread = spreadOne(world, `web-${Math.floor(world.clock.now)}-${i}.marathon`)
    world.run(2_000)
    return spread
  })

/** Everything that a node shows, as one text; equal for equal replicas. */
export const shownBy = (node: SimNode): string => {
  const lines: string[] = []
  for (const owner of node.records.owners())
    lines.push(`${owner.name} ${owner.epoch} ${owner.version} ${owner.entries}`)
  for (const kind of ['vip', 'zone', 'node'] as const satisfies readonly Kind[])
    for (const entry of node.records.entries(kind))
      lines.push(`${kind} ${entry.name} ${entry.owner} ${Buffer.from(entry.value).toString('hex')}`)
  return lines.sort().join('\n')
}

/** Number of different states among live nodes: 1 if all are equal. */
export const statesOf = (world: World): number => new Set(live(world).map(shownBy)).size

const digestOf = (node: SimNode): string =>
  Buffer.from(node.records.digest()).toString('hex', 2, 10)

/**
 * Ms until the digests of all live nodes are equal, checked every 100 ms; Infinity if that takes longer than
 * `limitMs`.
 */
export const untilEqual = (world: World, limitMs: number): number => {
  const start = world.clock.now
  while (world.clock.now - start < limitMs) {
    if (new Set(live(world).map(digestOf)).size === 1) return world.clock.now - start
    world.run(100)
  }
  return Infinity
}

/** Lets every node publish its share of `entries` names, and waits until all have all. */
export const fill = (world: World, entries: number): void => {
  const nodes = live(world)
  for (let i = 0; i < entries; i++)
    (nodes[i % nodes.length] as SimNode).records.publish(
      { kind: 'vip', name: `app-${i}.group-${i % 97}.marathon` },
      valueOf(world, 28),
    )
  for (const node of nodes) node.tick()
  world.run(1_000)
  untilEqual(world, 300_000)
}

export type Join = {
  readonly ms: number
  readonly cpuMs: number
  readonly entries: number
  readonly octets: number
}

/** Starts a node that knows one seed: how long until it has everything. CPU is the time of both sides. */
export const joinLate = (world: World): Join => {
  const [seed] = live(world) as [SimNode]
  const wanted = seed.records.stats().entries
  const before = octetsSent(world)
  const start = world.clock.now
  const cpu = performance.now()
  const joiner = world.add([seed.at])
  joiner.start()
  world.run(
    60_000,
    () =>
      joiner.records.synced &&
      joiner.records.stats().backlog === 0 &&
      digestOf(joiner) === digestOf(seed),
  )
  return {
    ms: world.clock.now - start,
    cpuMs: performance.now() - cpu,
    entries: Math.min(wanted, joiner.records.stats().entries),
    octets: octetsSent(world) - before,
  }
}

export type Partition = {
  readonly healMs: number
  readonly states: number
  readonly holds: number
  readonly lost: number
}

/**
 * Cuts the ring into halves for `ms`, while both publish, and then reconnects it. `lost`: names that no node shows
 * at the end.
 */
export const partition = (world: World, ms: number): Partition => {
  const nodes = live(world)
  nodes.forEach((node, i) => void (world.network.group[node.index] = i % 2))
  const names: string[] = []
  for (let i = 0; i < 20; i++) {
    world.run(ms / 20)
    const node = nodes[Math.floor(world.random() * nodes.length)] as SimNode
    names.push(`cut-${i}.marathon`)
    node.publish('vip', `cut-${i}.marathon`, valueOf(world))
  }
  nodes.forEach(node => void (world.network.group[node.index] = 0))
  const healMs = untilEqual(world, 180_000)
  // What is shown depends on which members are considered alive, so wait until all agree.
  for (let i = 0; i < 18 && statesOf(world) > 1; i++) world.run(10_000)
  const seen = new Set([...(nodes[0] as SimNode).records.entries('vip')].map(entry => entry.name))
  return {
    healMs,
    states: statesOf(world),
    holds: nodes.reduce((sum, node) => sum + node.records.stats().holds, 0),
    lost: names.filter(name => !seen.has(name)).length,
  }
}

/** For each live node: ms until it no longer shows a killed owner's backend beside another's, ascending. */
export const killOwner = (world: World, limitMs = 30_000): Spread => {
  const nodes = live(world)
  const [victim, other] = nodes as [SimNode, SimNode]
  const name = `shared-${Math.floor(world.clock.now)}.marathon`
  victim.publish('vip', name, valueOf(world))
  other.publish('vip', name, valueOf(world))
  world.run(5_000)
  const rest = nodes.filter(node => node !== victim)
  const hides = (node: SimNode): boolean => {
    const shown = node.records.lookup({ kind: 'vip', name })
    return shown.length === 1 && shown[0]?.owner === other.name
  }
  const before = octetsSent(world)
  const start = world.clock.now
  const times = new Map<SimNode, number>()
  const stops = rest.map(node =>
    node.records.onChange(
      () => void (!times.has(node) && hides(node) && times.set(node, world.clock.now - start)),
    ),
  )
  victim.kill()
  world.run(limitMs, () => times.size === rest.length)
  for (const stop of stops) stop()
  return {
    times: [...times.values()].sort((a, b) => a - b),
    nodes: rest.length,
    octetsPerNode: (octetsSent(world) - before) / rest.length,
  }
}

export type Stalls = {
  readonly falseDeaths: number
  readonly flaps: number
  readonly stalled: number
}

/**
 * For `ms`, every second some node is suspended for one to four seconds: how many healthy ones were declared dead?
 */
export const stalls = (world: World, ms: number): Stalls => {
  const nodes = live(world)
  const wasStalled = new Set<string>()
  let falseDeaths = 0
  for (const node of nodes) {
    node.onDeath = name => {
      if (!wasStalled.has(name)) falseDeaths++
    }
  }
  for (let t = 0; t < ms; t += 1_000) {
    const node = nodes[Math.floor(world.random() * nodes.length)] as SimNode
    wasStalled.add(node.name)
    world.network.stalledUntil[node.index] = world.clock.now + 1_000 + world.random() * 3_000
    world.run(1_000)
  }
  world.run(30_000)
  return {
    falseDeaths,
    stalled: wasStalled.size,
    flaps: nodes.reduce((sum, node) => sum + node.records.stats().flaps, 0),
  }
}

export type Flood = {
  readonly untilEqualMs: number
  readonly octetsPerNodeSecond: number
  readonly hotDropped: number
  readonly p50LagMs: number
}

/** `perSecond` updates from random nodes for `ms`, then a pause. */
export const flood = (world: World, perSecond: number, ms: number): Flood => {
  const nodes = live(world)
  const before = octetsSent(world)
  const dropped = nodes.reduce((sum, node) => sum + node.records.stats().hotDropped, 0)
  for (let t = 0; t < ms; t += 1_000 / perSecond) {
    const node = nodes[Math.floor(world.random() * nodes.length)] as SimNode
    node.publish('vip', `flood-${Math.floor(world.random() * 500)}.marathon`, valueOf(world))
    world.run(1_000 / perSecond)
  }
  const octets = octetsSent(world) - before
  const untilEqualMs = untilEqual(world, 120_000)
  const lags = nodes
    .map(node => node.records.stats())
    .map(stats => stats.lagSumMs / Math.max(1, stats.lagCount))
    .sort((a, b) => a - b)
  return {
    untilEqualMs,
    octetsPerNodeSecond: octets / nodes.length / (ms / 1_000),
    hotDropped: nodes.reduce((sum, node) => sum + node.records.stats().hotDropped, 0) - dropped,
    p50LagMs: lags[lags.length >> 1] ?? 0,
  }
}

/** Starts all nodes at once with one seed: ms until each knows all. */
export const bootstrap = (world: World, count: number): number => {
  const first = world.add([])
  first.start()
  world.run(1_000)
  for (let i = 1; i < count; i++)
    world.network.at(world.add([first.at]).index, world.random() * 1_000, () =>
      (world.list[i] as SimNode).start(),
    )
  const start = world.clock.now
  const full = (): boolean => world.list.every(node => node.core.counts().alive === count)
  while (world.clock.now - start < 300_000) {
    world.run(250)
    if (full()) return world.clock.now - start
  }
  return Infinity
}

/** Restarts every node, one each `everyMs`, with or without its disk: ms until all are equal, and lost names. */
export const rollingRestart = (
  world: World,
  everyMs: number,
  disk: boolean,
): { readonly untilEqualMs: number; readonly lost: number } => {
  const nodes = live(world)
  const published = nodes.map((node, i) => {
    const name = `rolling-${i}.marathon`
    node.publish('vip', name, valueOf(world))
    return name
  })
  world.run(5_000)
  nodes.forEach((node, i) => {
    const kept = disk ? node.records.toBytes(1_700_000_000_000 + world.clock.now) : undefined
    node.kill()
    world.run(everyMs)
    node.restart([(nodes[(i + 1) % nodes.length] as SimNode).at], kept)
    world.network.at(node.index, 2_000, () =>
      node.publish('vip', published[i] as string, valueOf(world)),
    )
  })
  world.run(35_000)
  const untilEqualMs = untilEqual(world, 120_000)
  const seen = new Set([...(nodes[0] as SimNode).records.entries('vip')].map(entry => entry.name))
  return { untilEqualMs, lost: published.filter(name => !seen.has(name)).length }
}
