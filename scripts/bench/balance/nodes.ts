/**
 * The other nodes of the balancer's bench: real members of the ring in one process, which announce the VIPs. It also
 * measures changes, from the datagram that brings one to the agent to the kernel's report of its transaction.
 */
import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeVip } from '../../../src/control/sharing/shared-codec.ts'
import { Gossip } from '../../../src/gossip/service.ts'
import { vipKey, type Backend, type VipRecord } from '../../../src/vip/record.ts'
import { backendOf, HALF, MOVING, NODES, PORTS, VIPS } from './place.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const [ip = '', agentPort = ''] = process.argv.slice(2)

/** The change that is under way, and when its first datagram was sent to the agent. */
let [looked, sentAt] = ['', 0]
const send = dgram.Socket.prototype.send as (...args: unknown[]) => void
dgram.Socket.prototype.send = function (this: dgram.Socket, ...args: unknown[]) {
  const [bytes, port] = args as [Buffer, number]
  if (looked !== '' && sentAt === 0 && port === Number(agentPort) && bytes.includes(looked))
    sentAt = performance.now()
  send.apply(this, args)
} as typeof dgram.Socket.prototype.send

const node = (n: number): Gossip =>
  new Gossip({
    config: {
      bind: { address: ip, port: 20_000 + n },
      advertise: undefined,
      seeds: n === 0 ? [] : [{ address: ip, port: 20_000 }],
      keyring: '',
      insecure: true,
      clusterName: '',
      stateDir: '',
    },
    node: `node-${n}`,
    version: 'bench',
    log: silent,
    now: () => performance.now(),
    random: Math.random,
    wallClock: Date.now,
    allow: () => true,
  })

const record = (name: string, backends: readonly Backend[]): VipRecord => ({
  ...{ protocol: 'tcp', name, ip: '', port: 80 },
  backends,
})
const publish = (from: Gossip, vip: VipRecord): void => {
  if (!from.publish({ kind: 'vip', name: vipKey(vip) }, encodeVip(vip)))
    throw new Error(`refused: ${vip.name}`)
}

const nodes = Array.from({ length: NODES }, (_, n) => node(n))
for (const one of nodes) await one.start()
await Promise.all(nodes.map(one => one.synced))
for (let vip = 0; vip < VIPS; vip++) {
  for (let half = 0; half < 2; half++) {
    const backends = Array.from({ length: HALF }, (_, nth) => {
      return { ip: backendOf(vip, half * HALF + nth), port: PORTS[0], weight: 1 }
    })
    publish(nodes[(vip + half) % NODES]!, record(`service-${vip}.bench`, backends))
  }
}
/** One VIP whose only backend moves. */
const move = (turn: number): string => {
  const backend = { ip: backendOf(0, turn % 200), port: PORTS[1 + (turn % 2)]!, weight: 1 }
  publish(nodes[1]!, record(MOVING, [backend]))
  return `"${backend.ip}",${backend.port}`
}
move(0)
while (nodes[0]!.records.stats().entries <= VIPS * 2) await sleep(100)
process.send?.('ready')

/** The time of the kernel's last transaction. */
let [changed, changes] = [0, 0]
const monitor = spawn('nft', ['monitor'], { stdio: ['ignore', 'pipe', 'ignore'] })
createInterface({ input: monitor.stdout }).on('line', line => {
  if (!line.startsWith('# new generation')) return
  changed = performance.now()
  changes++
})

const one = async (turn: number): Promise<number> => {
  await sleep(400 + Math.random() * 200)
  const before = changes
  sentAt = 0
  looked = move(turn)
  for (let waited = 0; sentAt === 0 || changes === before; waited++) {
    if (waited > 20_000) throw new Error('a change did not arrive')
    await sleep(1)
  }
  return changed - sentAt
}
process.on('message', (asked: { readonly turns: readonly number[] }) => {
  void (async () => {
    const times: number[] = []
    for (const turn of asked.turns) times.push(await one(turn))
    process.send?.(times)
  })()
})
process.on('disconnect', () => {
  monitor.kill('SIGKILL')
  process.exit()
})
