/**
 * The client of the balancer's bench, one in each agent's namespace. It measures blocking calls of connect(2), because
 * the time of an asynchronous client would hide what the rules cost.
 */
import koffi from 'koffi'
import { connect as open } from 'node:net'
import { PORTS, percentile, type Connected, type Connects, type Steady } from './place.ts'

const [AF_INET, SOCK_STREAM, SOL_SOCKET, SO_LINGER] = [2, 1, 1, 13]
const libc = koffi.load(null)
const socket = libc.func('int socket(int domain, int type, int protocol)')
const setsockopt = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t size)',
)
const connect = libc.func('int connect(int fd, const void *address, uint32_t size)')
const close = libc.func('int close(int fd)')

/** close() resets the connection, so that no port stays in TIME_WAIT. */
const RESET = Buffer.from(new Int32Array([1, 0]).buffer)

const sockaddr = (ip: string, port: number): Buffer => {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt16LE(AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(ip.split('.').map(Number), 4)
  return bytes
}

/** Microseconds of one connection. */
const once = (address: Buffer): number => {
  const fd = Number(socket(AF_INET, SOCK_STREAM, 0))
  setsockopt(fd, SOL_SOCKET, SO_LINGER, RESET, RESET.length)
  const began = process.hrtime.bigint()
  const failed = connect(fd, address, address.length)
  const took = Number(process.hrtime.bigint() - began) / 1_000
  if (failed) throw new Error(`connect: errno ${koffi.errno()}`)
  close(fd)
  return took
}

const measure = ({ direct, vips, count }: Connects): Connected => {
  const addresses = {
    direct: direct.map(ip => sockaddr(ip, PORTS[0])),
    vip: vips.map(ip => sockaddr(ip, 80)),
  }
  const times = { direct: [] as number[], vip: [] as number[] }
  const one = (kind: 'direct' | 'vip'): void => {
    const of = addresses[kind]
    times[kind].push(once(of[Math.floor(Math.random() * of.length)]!))
  }
  // In turns, so that both see the same machine.
  for (let i = 0; i < count; i++) for (const kind of ['direct', 'vip'] as const) one(kind)
  return { direct: percentile(times.direct, 0.5), vip: percentile(times.vip, 0.5) }
}

/** A connection that is not established after this time failed: its first packet was lost. */
const LATE_MS = 900

const stream = ({ to, port, perSecond }: Steady): void => {
  const failures: Record<string, number> = {}
  let [tried, open_, stopped] = [0, 0, false]
  const began = performance.now()
  const connectOnce = (): void => {
    tried++
    open_++
    const since = performance.now()
    let heard = ''
    const end = (why: string): void => {
      if (heard !== '') return
      heard = why
      open_--
      if (why !== 'answer') failures[why] = (failures[why] ?? 0) + 1
      socket.destroy()
    }
    const socket = open({ host: to, port })
    socket.setTimeout(5_000, () => end('silent'))
    socket.once('data', () => end(performance.now() - since > LATE_MS ? 'late' : 'answer'))
    socket.once('error', er => end((er as NodeJS.ErrnoException).code ?? er.message))
    socket.once('close', () => end('closed'))
  }
  const timer = setInterval(() => {
    const due = ((performance.now() - began) * perSecond) / 1_000
    while (!stopped && tried < due) connectOnce()
    if (!stopped || open_ > 0) return
    clearInterval(timer)
    process.send?.({ tried, failures })
  }, 2)
  process.once('message', () => (stopped = true))
}

process.on('message', (asked: Connects | Steady | { readonly stop: true }) => {
  if ('stop' in asked) return
  if ('perSecond' in asked) stream(asked)
  else process.send?.(measure(asked))
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
