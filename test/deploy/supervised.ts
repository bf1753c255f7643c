import { existsSync, writeFileSync } from 'node:fs'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { platform } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import dnsPacket from 'dns-packet'
import t, { type Test } from 'tap'
import {
  hold,
  holdPairs,
  receiveBuffer,
  Supervisor,
  type Held,
  type SupervisorOptions,
} from '../fixture/supervisor.ts'

// A dozen starts of the daemon, beside whatever else this machine runs.
t.setTimeout(590_000)

const MAIN = process.env['SPARTAN_MAIN'] ?? join(import.meta.dirname, '../../dist/main.js')
const skip =
  platform() !== 'linux'
    ? 'SKIPPED: not Linux'
    : !existsSync(MAIN) && 'SKIPPED: not built, npm run build'

const wireOf = (id: number): Buffer =>
  dnsPacket.encode({
    id,
    type: 'query',
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name: 'ready.spartan', type: 'A' }],
  })

/** Asks until somebody answers, as patiently as a slow machine needs. The answers, or an error. */
const ask = async ({ address, port }: Held, id: number): Promise<dnsPacket.Answer[]> => {
  const socket = createSocket('udp4')
  try {
    for (let tries = 0; tries < 60; tries++) {
      socket.send(wireOf(id), port, address)
      const reply = await Promise.race([once(socket, 'message') as Promise<[Buffer]>, sleep(2_000)])
      if (reply) return dnsPacket.decode(reply[0]).answers ?? []
    }
    throw new Error(`no answer from ${address}:${port}`)
  } finally {
    socket.close()
  }
}

const askTcp = async ({ address, port }: Held, id: number): Promise<dnsPacket.Answer[]> => {
  const socket = connect(port, address)
  const wire = wireOf(id)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(wire.length)
  socket.write(Buffer.concat([length, wire]))
  const parts: Buffer[] = []
  for await (const part of socket as AsyncIterable<Buffer>) {
    parts.push(part)
    const got = Buffer.concat(parts)
    if (got.length > 2 && got.length >= 2 + got.readUInt16BE(0))
      return dnsPacket.decode(got.subarray(2)).answers ?? []
  }
  throw new Error('closed without an answer')
}

/** The daemon over sockets that are held here, on these addresses. */
const supervised = (
  t: Test,
  addresses: readonly string[],
  over: Partial<SupervisorOptions> & { configure?: (listen: string[]) => string[] } = {},
) => {
  const { configure = (listen: string[]) => listen, ...options } = over
  const sockets = over.sockets ?? holdPairs(addresses)
  const listen = configure(
    sockets.filter(s => s.transport === 'udp').map(s => `${s.address}:${s.port}`),
  )
  const config = join(t.testdir(), 'spartan.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      node: 'n1',
      listen: { addresses: listen },
      admin: { listen: '', socket: '' },
      cache: { snapshot: '' },
      stateDir: '',
    }),
  )
  const supervisor = new Supervisor(t, {
    command: [process.execPath, MAIN, 'run', '--config', config],
    ...options,
    sockets,
  })
  return { supervisor, sockets, config }
}

/** The log's lines since the last start that match, once there is one. */
const logged = async (supervisor: Supervisor, what: RegExp): Promise<Record<string, unknown>[]> =>
  (await supervisor.lines(what)).map(line => JSON.parse(line) as Record<string, unknown>)

t.test(
  'the daemon adopts the sockets it is passed and says READY when all answer',
  { skip },
  async t => {
    const { supervisor, sockets } = supervised(t, ['127.12.4.1', '127.12.4.2', '127.12.4.3'], {
      watchdogMs: 300,
    })
    const [first] = sockets
    const size = receiveBuffer(first!, 3 << 20)
    supervisor.start()
    await supervisor.hears('READY', '1')
    t.equal(receiveBuffer(first!), size, 'a buffer that the manager made large stays so')
    for (const [i, held] of sockets.entries()) {
      const answers = await (held.transport === 'udp' ? ask : askTcp)(held, i + 1)
      t.match(answers, [{ name: 'ready.spartan', type: 'A' }], `${held.transport} ${held.address}`)
    }
    t.equal((await logged(supervisor, /"msg":"ready"/)).length, 1, 'and the log says ready once')
    await supervisor.hears('WATCHDOG', '1')
    t.equal(await supervisor.kill('SIGTERM'), 0)
    await supervisor.hears('STOPPING', '1')
  },
)

t.test('the watchdog is not fed by a daemon that is stopped', { skip }, async t => {
  const { supervisor } = supervised(t, ['127.12.4.4'], { watchdogMs: 300 })
  supervisor.start()
  // An address may answer, and feed the watchdog, before all are ready: stopped then, READY would never come.
  await supervisor.hears('READY')
  await supervisor.hears('WATCHDOG', '1')
  await supervisor.kill('SIGSTOP')
  await sleep(100)
  await supervisor.hears('READY') // reads what was sent before the signal
  const from = supervisor.said.length
  await sleep(600)
  t.strictSame(supervisor.said.slice(from), [])
  await supervisor.kill('SIGCONT')
  await supervisor.hears('WATCHDOG', '1', from)
})

t.test('no query is lost while the daemon is killed and restarted', { skip }, async t => {
  const { supervisor, sockets } = supervised(t, ['127.12.4.5', '127.12.4.6'])
  const udp = sockets.filter(s => s.transport === 'udp')
  supervisor.start()
  await supervisor.hears('READY', '1')
  let asking = true
  let failed = 0
  let answered = 0
  const client = async (id: number): Promise<void> => {
    while (asking) {
      await ask(udp[id % udp.length]!, id).then(
        () => answered++,
        () => failed++,
      )
      await sleep(5)
    }
  }
  const clients = Array.from({ length: 4 }, (_, i) => client(i + 1))
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
    await sleep(100)
    await supervisor.kill(signal)
    const from = supervisor.said.length
    supervisor.start()
    await supervisor.hears('READY', '1', from)
  }
  asking = false
  await Promise.all(clients)
  t.comment(`${answered} answered, ${failed} failed`)
  t.equal(failed, 0)
  t.ok(answered > 0)
})

t.test(
  'SIGHUP is answered with RELOADING and READY, also when the new configuration is refused',
  { skip },
  async t => {
    const { supervisor, sockets, config } = supervised(t, ['127.12.4.7'])
    supervisor.start()
    await supervisor.hears('READY', '1')
    let from = supervisor.said.length
    await supervisor.kill('SIGHUP')
    await supervisor.hears('RELOADING', '1', from)
    await supervisor.hears('READY', '1', from)
    from = supervisor.said.length
    writeFileSync(config, 'listen: { adresses: [] }')
    await supervisor.kill('SIGHUP')
    await supervisor.hears('RELOADING', '1', from)
    await supervisor.hears('READY', '1', from)
    t.match(await logged(supervisor, /"msg":"[^"]*refused/), [{ level: 'error' }])
    t.match(await ask(sockets[0]!, 9), [{ name: 'ready.spartan' }])
  },
)

t.test(
  'sockets that do not fit the configuration are reported, and it is served all the same',
  { skip },
  async t => {
    const held = [...holdPairs(['127.12.4.8']), hold('udp', '127.12.4.9')]
    const { supervisor, sockets } = supervised(t, [], {
      sockets: held,
      configure: listen => [listen[0]!],
    })
    supervisor.start()
    await supervisor.hears('READY', '1')
    t.match(await logged(supervisor, /"msg":"[^"]*not in listen/), [
      { address: '127.12.4.9', transport: 'udp' },
    ])
    t.match(await ask(sockets[0]!, 1), [{ name: 'ready.spartan' }])
  },
)
