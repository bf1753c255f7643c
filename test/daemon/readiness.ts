/** The daemon is ready when every address is bound for both transports and answers. */
import t from 'tap'
import type { Test } from 'tap'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { Readiness } from '../../src/daemon/readiness.ts'

/** A server with one answer, which counts queries. */
const server = async (t: Test, address: string, well = true) => {
  const socket = createSocket('udp4')
  let asked = 0
  let silent = 0
  socket.on('message', (b, from) => {
    asked++
    if (silent-- > 0) return
    const response = Buffer.concat([b, Buffer.from('c00c000100010000003c0004c0000201', 'hex')])
    response.writeUInt16BE(well ? 0x8180 : 0x8182, 2)
    response.writeUInt16BE(well ? 1 : 0, 6)
    socket.send(response, from.port, from.address)
  })
  socket.bind(0, address)
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return {
    at: { address, port: socket.address().port },
    asked: () => asked,
    silence: (n: number) => (silent = n),
  }
}

const readinessOf = (t: Test, listen: readonly Endpoint[]) => {
  let tell = (): void => {}
  const ready = new Promise<void>(resolve => (tell = resolve))
  const answers: (() => void)[] = []
  const readiness = new Readiness(listen, {
    onReady: tell,
    onAnswer: () => answers.splice(0).forEach(wake => wake()),
    watchdogMs: 0,
  })
  t.teardown(() => readiness.close())
  const bind = (at: Endpoint, ...transports: ('udp' | 'tcp')[]): void => {
    for (const transport of transports)
      readiness.bound({ type: 'listening', ...at, transport, inherited: false })
  }
  const answered = (): Promise<void> => new Promise(resolve => answers.push(resolve))
  return { readiness, ready, bind, answered }
}

t.test('nobody is told of an answer that comes after the end', async t => {
  const { at, asked } = await server(t, '127.10.7.9')
  const { readiness, ready, bind, answered } = readinessOf(t, [at])
  const told = Promise.race([ready, answered()]).then(() => 'told')
  bind(at, 'udp', 'tcp')
  readiness.start()
  readiness.close()
  while (asked() === 0) await sleep(1)
  t.equal(await Promise.race([told, sleep(100, 'not told')]), 'not told')
})

t.test('it asks as soon as the last address is bound', async t => {
  const servers = await Promise.all(['127.10.7.1', '127.10.7.2'].map(a => server(t, a)))
  const { readiness, ready, bind } = readinessOf(
    t,
    servers.map(s => s.at),
  )
  // Timers never fire, so only the sockets can cause this.
  const real = globalThis.setTimeout
  globalThis.setTimeout = (() => real(() => {}, 60_000).unref()) as unknown as typeof real
  t.teardown(() => (globalThis.setTimeout = real))
  readiness.start()
  await new Promise(resolve => setImmediate(resolve))
  for (const { at } of servers) bind(at, 'tcp', 'udp')
  await ready
  t.strictSame(
    servers.map(s => s.asked()),
    [1, 1],
    'one query each',
  )
  t.ok(readiness.addresses().every(a => a.answers))
})

t.test(
  'an address without its TCP listener, or without an answer, keeps it from ready',
  async t => {
    const [well, sick] = await Promise.all([
      server(t, '127.10.7.3'),
      server(t, '127.10.7.4', false),
    ])
    let isReady = false
    const one = readinessOf(t, [well.at])
    void one.ready.then(() => (isReady = true))
    one.readiness.start()
    one.bind(well.at, 'udp')
    await one.answered()
    await one.answered()
    t.notOk(isReady, 'UDP alone')
    one.bind(well.at, 'tcp')
    await one.ready
    t.ok(isReady)

    const two = readinessOf(t, [well.at, sick.at])
    let isWell = false
    void two.ready.then(() => (isWell = true))
    two.readiness.start()
    two.bind(well.at, 'udp', 'tcp')
    two.bind(sick.at, 'udp', 'tcp')
    await two.answered()
    await two.answered()
    t.notOk(isWell)
    t.ok(two.readiness.failed >= 2, 'each failure is counted')
    t.match(
      two.readiness.addresses().map(a => a.answers),
      [true, false],
    )
  },
)

t.test(
  'with a watchdog of 8 s it asks every 5 s, and soon again after a query without an answer',
  async t => {
    const { at, asked, silence } = await server(t, '127.10.7.5')
    const works: { ms: number; run: () => void }[] = []
    const set = t.capture(globalThis, 'setInterval', ((run: () => void, ms: number) => {
      const timer = { ms, run, unref: () => timer }
      works.push(timer)
      return timer
    }) as unknown as typeof setInterval)
    t.teardown(() => set.restore())
    let answers = 0
    let tell = (): void => {}
    const ready = new Promise<void>(resolve => (tell = resolve))
    const readiness = new Readiness([at], {
      onReady: tell,
      onAnswer: () => void answers++,
      watchdogMs: 8_000,
    })
    t.teardown(() => readiness.close())
    readiness.start()
    for (const transport of ['udp', 'tcp'] as const)
      readiness.bound({ type: 'listening', ...at, transport, inherited: false })
    await ready
    await sleep(10)
    t.strictSame(
      works.map(({ ms }) => ms),
      [5_000],
    )
    t.equal(answers, 1)
    t.ok(readiness.answeredAt > 0 && readiness.answeredAt <= performance.now())
    silence(1)
    works[0]?.run()
    works[0]?.run() // while it still waits for the first
    await sleep(300)
    t.equal(asked(), 2, 'one at a time')
    while (answers < 2) await sleep(20)
    await sleep(700)
    t.equal(asked(), 3, 'and no query more')
  },
)
