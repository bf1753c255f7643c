/**
 * How soon an update is served by a whole ring of real daemons on this
 * machine. Prints figures, asserts none.
 *
 *   npm run build && npx ts-node-esm -T scripts/bench/ring.ts [daemons] [updates]
 *
 * Starts so many `spartan run` (30), each a process of its own on a loopback
 * address, with gossip and a folder of VIP files. Each update is a new VIP in
 * the file of one daemon; all of them are asked for its name until all answer
 * it. The time runs from the moment that daemon answers it itself, which is
 * when it gives it to the gossip; the way there, a wait of 50 ms for a file
 * that is still being written, is shown beside it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import dnsPacket from 'dns-packet'

const DAEMONS = Number(process.argv[2] ?? 30)
const UPDATES = Number(process.argv[3] ?? 20)
const PROGRAM = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const [DNS_PORT, GOSSIP_PORT, ADMIN_PORT] = [20_053, 27_946, 26_080]
/** Interval at which daemons without an answer are asked again; the precision of the results. */
const ASK_MS = 10
const PATIENCE_MS = 60_000

type Daemon = { readonly address: string; readonly dir: string; readonly child: ChildProcess }

const folder = mkdtempSync(join(tmpdir(), 'spartan-ring-'))
const daemons: Daemon[] = []
process.on('exit', () => {
  for (const { child } of daemons) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
process.on('SIGINT', () => process.exit(1))

const vipFile = (names: readonly string[]): string =>
  JSON.stringify({
    framework: 'ring',
    vips: names.map(name => ({ vip: `/${name}:80`, backends: ['192.0.2.1:8080'] })),
  })

/** Replaces a daemon's VIP file in one step, as a deployment would. */
const publish = ({ dir }: Daemon, names: readonly string[]): void => {
  writeFileSync(join(dir, 'new'), vipFile(names))
  renameSync(join(dir, 'new'), join(dir, 'vips.d', 'vips.json'))
}

const start = async (i: number): Promise<void> => {
  const address = `127.77.0.${i + 1}`
  const dir = join(folder, `agent-${i}`)
  mkdirSync(join(dir, 'vips.d'), { recursive: true })
  const config = {
    node: `agent-${i}`,
    listen: { addresses: [address], port: DNS_PORT },
    allow: ['127.0.0.0/8'],
    gossip: {
      bind: `${address}:${GOSSIP_PORT}`,
      seeds: [`127.77.0.1:${GOSSIP_PORT}`, `127.77.0.2:${GOSSIP_PORT}`],
      insecure: true,
    },
    vips: { files: [join(dir, 'vips.d')] },
    admin: { listen: `${address}:${ADMIN_PORT}`, socket: join(dir, 'sock') },
  }
  writeFileSync(join(dir, 'spartan.json'), JSON.stringify(config))
  const child = spawn(process.execPath, [PROGRAM, 'run', '--config', join(dir, 'spartan.json')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const daemon = { address, dir, child }
  daemons.push(daemon)
  publish(daemon, [`first-${i}`])
  const lines = createInterface({ input: child.stdout })
  const ready = new Promise<void>(resolve =>
    lines.on('line', line => line.includes('"msg":"ready"') && resolve()),
  )
  const late = sleep(PATIENCE_MS, 'late', { ref: false })
  if ((await Promise.race([ready, once(child, 'exit'), late])) !== undefined)
    throw new Error(`daemon ${i} does not get ready`)
}

/** Asks all daemons for a name until all answer it; returns when each did, by address. */
const served = async (socket: Socket, name: string): Promise<Map<string, number>> => {
  const id = Math.floor(Math.random() * 65_536)
  const question = dnsPacket.encode({
    type: 'query',
    id,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type: 'A', name: `${name}.ring.l4lb.thisdcos.directory` }],
  })
  const times = new Map<string, number>()
  const heard = (message: Buffer, { address }: { address: string }): void => {
    const answers = message.readUInt16BE(0) === id ? message.readUInt16BE(6) : 0
    if (answers > 0 && !times.has(address)) times.set(address, performance.now())
  }
  socket.on('message', heard)
  const end = performance.now() + PATIENCE_MS
  while (times.size < daemons.length && performance.now() < end) {
    for (const { address } of daemons)
      if (!times.has(address)) socket.send(question, DNS_PORT, address)
    await sleep(ASK_MS)
  }
  socket.off('message', heard)
  if (times.size < daemons.length)
    throw new Error(`${name} is served by ${times.size} of ${daemons.length}`)
  return times
}

const figure = (what: string, times: readonly number[]): void => {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (q: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0).toFixed(0)
  console.log(
    `${what.padEnd(44)} median ${at(0.5).padStart(5)} ms   90 % ${at(0.9).padStart(5)} ms   worst ${at(1).padStart(5)} ms`,
  )
}

const load = (): string => (loadavg()[0] ?? 0).toFixed(1)
console.log(`${DAEMONS} daemons, ${UPDATES} updates, Node ${process.version}, load ${load()}`)
// a few at a time, because each start takes a second of CPU time
for (let i = 0; i < DAEMONS; i += 4)
  await Promise.all(Array.from({ length: Math.min(4, DAEMONS - i) }, (_, k) => start(i + k)))
const socket = createSocket('udp4').unref()
const began = performance.now()
for (let i = 0; i < DAEMONS; i++) await served(socket, `first-${i}`)
console.log(`all serve each other's after ${(performance.now() - began).toFixed(0)} ms more`)
await sleep(5_000)

const half: number[] = []
const all: number[] = []
const whole: number[] = []
for (let n = 0; n < UPDATES; n++) {
  const i = (n * 7) % DAEMONS
  const daemon = daemons[i]!
  // at random times, independent of the daemons' own intervals
  await sleep(1_000 + Math.random() * 1_000)
  const written = performance.now()
  publish(daemon, [`first-${i}`, `update-${n}`])
  const times = await served(socket, `update-${n}`)
  const own = times.get(daemon.address)!
  const others = [...times.values()].map(time => time - own).sort((a, b) => a - b)
  half.push(others[others.length >> 1]!)
  all.push(others.at(-1)!)
  whole.push(others.at(-1)! + own - written)
}
figure('half of them serve it', half)
figure('all of them serve it', all)
figure('all of them, from the change of the file', whole)
console.log(`load ${load()}`)
process.exit(0)
