import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { platform } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  canonical,
  endpointOf,
  inheritedSockets,
  matchInherited,
  type Inherited,
} from '../../src/ops/listen-fds.ts'
import { Notifier, unixAddress, watchdogOf } from '../../src/ops/systemd.ts'
import { hold, holdPairs, Supervisor, type Held } from '../fixture/supervisor.ts'

const skip = platform() !== 'linux' && 'SKIPPED: the service manager is a Linux one'
const SERVICE = join(import.meta.dirname, '../fixture/notifying.ts')
const service = (listen: unknown): readonly [string, ...string[]] => [
  process.execPath,
  ...process.execArgv,
  SERVICE,
  JSON.stringify(listen),
]

type Report = {
  use: Inherited[]
  extra: Inherited[]
  missing: unknown[]
  problems: unknown[]
  left: string[]
  watchdogMs: number
}
const report = async (supervisor: Supervisor): Promise<Report> =>
  JSON.parse((await supervisor.lines(/^\{/))[0]!) as Report

const askUdp = async ({ address, port }: Held): Promise<string> => {
  const socket = createSocket('udp4')
  socket.send('?', port, address)
  const [reply] = (await once(socket, 'message')) as [Buffer]
  socket.close()
  return reply.toString()
}
const askTcp = async ({ address, port }: Held): Promise<string> => {
  const socket = connect(port, address)
  let got = ''
  socket.on('data', part => (got += String(part)))
  await once(socket, 'close')
  return got
}

t.test('unixAddress writes sockaddr_un for paths and abstract names', async t => {
  t.strictSame(unixAddress('/run/x'), Buffer.from('\x01\x00/run/x\x00', 'latin1'))
  t.strictSame(unixAddress('@x/y'), Buffer.from('\x01\x00\x00x/y', 'latin1'))
  for (const odd of ['', '/', '@', 'run/x', 'vsock:2:1', `/${'x'.repeat(200)}`])
    t.equal(unixAddress(odd), undefined, odd)
})

t.test('watchdogOf believes only what is meant for us', async t => {
  t.equal(watchdogOf({ WATCHDOG_USEC: '20000000' }, 7), 20_000)
  t.equal(watchdogOf({ WATCHDOG_USEC: '20000000', WATCHDOG_PID: '7' }, 7), 20_000)
  t.equal(watchdogOf({ WATCHDOG_USEC: '20000000', WATCHDOG_PID: '8' }, 7), 0)
  for (const odd of [undefined, '', '0', '-1', 'soon', '1e400'])
    t.equal(watchdogOf({ WATCHDOG_USEC: odd }, 7), 0, odd ?? 'unset')
})

t.test('a Notifier without a service manager says why and sends nothing', async t => {
  const env = { NOTIFY_SOCKET: 'vsock:2:1234', WATCHDOG_USEC: '1' }
  const odd = await Notifier.open(env)
  t.match(odd.reason, /no address we know: vsock/)
  t.strictSame(env, {}, 'and the environment is cleared')
  const none = await Notifier.open({})
  t.equal(none.reason, 'not started by a service manager')
  t.equal(await none.ready('x'), 'ENOTCONN')
  none.close()
  const gone = await Notifier.open({ NOTIFY_SOCKET: '/nonexistent/notify' })
  t.equal(gone.reason, '')
  t.equal(await gone.ready('x'), 'ENOENT')
  gone.close()
  gone.close()
})

t.test('endpointOf reads what a socket is bound to', async t => {
  const v6 = Buffer.from('0a000035000000007f00000000000000000000000000000100000000', 'hex')
  t.strictSame(endpointOf(Buffer.from('02000035c63364010000000000000000', 'hex')), {
    address: '198.51.100.1',
    port: 53,
  })
  t.strictSame(endpointOf(v6), { address: '7f00::1', port: 53 })
  t.equal(endpointOf(Buffer.from('0100', 'hex')), undefined)
  t.equal(endpointOf(Buffer.from('01002f72756e2f78', 'hex')), undefined)
  t.equal(endpointOf(v6.subarray(0, 12)), undefined)
})

t.test('matchInherited pairs sockets with addresses, whatever their spelling', async t => {
  const listen = [
    { address: '198.51.100.1', port: 53 },
    { address: 'fd01:d:0::c633:6401', port: 53 },
  ]
  const udp = { fd: 3, transport: 'udp' as const, address: '198.51.100.1', port: 53 }
  const six = { fd: 4, transport: 'tcp' as const, address: 'fd01:d::c633:6401', port: 53 }
  const other = { fd: 5, transport: 'udp' as const, address: '198.51.100.1', port: 5353 }
  const { use, extra, missing } = matchInherited([udp, six, other, { ...udp, fd: 6 }], listen)
  t.strictSame(use, [udp, six])
  t.strictSame(
    extra.map(s => s.fd),
    [5, 6],
    'one that nobody wants, one that comes twice',
  )
  t.strictSame(missing, [
    { address: '198.51.100.1', port: 53, transport: 'tcp' },
    { address: 'fd01:d:0::c633:6401', port: 53, transport: 'udp' },
  ])
  t.equal(canonical('0:0:0:0:0:0:0:1'), '::1')
  t.equal(canonical('no address'), 'no address')
})

t.test('inheritedSockets ignores what is meant for another process', async t => {
  for (const env of [
    {},
    { LISTEN_FDS: '2' },
    { LISTEN_FDS: '2', LISTEN_PID: '1' },
    { LISTEN_FDS: '0', LISTEN_PID: '77' },
    { LISTEN_FDS: '-3', LISTEN_PID: '77' },
    { LISTEN_FDS: 'many', LISTEN_PID: '77' },
  ]) {
    const given: NodeJS.ProcessEnv = { ...env }
    t.strictSame(await inheritedSockets(given, 77), { sockets: [], problems: [] })
    t.strictSame(given, {}, 'and the environment is cleared')
  }
})

t.test('a service is told of its sockets and says when it is ready', { skip }, async t => {
  const pairs = holdPairs(['127.12.3.1', '127.12.3.2'])
  const stray = hold('udp', '127.12.3.3')
  const listen = [pairs[0]!, pairs[2]!, { address: '127.12.3.9', port: 53 }].map(
    ({ address, port }) => ({ address, port }),
  )
  const names = [...pairs, stray].map(({ transport }) => transport)
  const supervisor = new Supervisor(t, {
    command: service(listen),
    sockets: [...pairs, stray],
    names,
    watchdogMs: 60,
  })
  supervisor.start()
  const { fields } = await supervisor.hears('READY', '1')
  t.equal(fields['STATUS'], 'serving 4 sockets')
  const { use, extra, missing, problems, left, watchdogMs } = await report(supervisor)
  t.strictSame(
    use,
    pairs.map((held, i) => ({ ...held, fd: 3 + i, name: held.transport })),
  )
  t.strictSame(extra, [{ ...stray, fd: 7, name: 'udp' }])
  t.match(missing, [
    { address: '127.12.3.9', transport: 'udp' },
    { address: '127.12.3.9', transport: 'tcp' },
  ])
  t.strictSame(problems, [])
  t.strictSame(left, [], 'nothing of it is left in the environment')
  t.equal(watchdogMs, 60)
  await supervisor.hears('WATCHDOG', '1')

  const before = supervisor.said.length
  await supervisor.kill('SIGHUP')
  const reloading = await supervisor.hears('RELOADING', '1', before)
  t.match(reloading.fields['MONOTONIC_USEC'], /^\d+$/)
  t.match((await supervisor.hears('READY', '1', before)).fields, { STATUS: 'reloaded' })

  t.equal(await supervisor.kill('SIGTERM'), 0)
  const stopping = await supervisor.hears('STOPPING', '1', before)
  t.equal(stopping.fields['STATUS'], 'draining READY=0', 'a status cannot smuggle in another line')
})

t.test('sockets that are held lose nothing while the service restarts', { skip }, async t => {
  const sockets = holdPairs(['127.12.3.4'])
  const [udp, tcp] = sockets as [Held, Held]
  const supervisor = new Supervisor(t, {
    command: service([{ address: udp.address, port: udp.port }]),
    sockets,
    abstract: true,
  })
  supervisor.start()
  await supervisor.hears('READY', '1')
  const first = await askUdp(udp)
  t.equal(first, String(supervisor.pid))
  t.equal(await askTcp(tcp), first)
  t.equal(await supervisor.kill('SIGKILL'), 'SIGKILL')
  const asked = [askUdp(udp), askTcp(tcp)] // nobody is there
  const from = supervisor.said.length
  supervisor.start()
  await supervisor.hears('READY', '1', from)
  const second = String(supervisor.pid)
  t.strictSame(await Promise.all(asked), [second, second])
  t.not(first, second)
})

t.test('descriptors that are no internet sockets are reported', { skip }, async t => {
  const file = hold('udp', '127.12.3.5')
  const supervisor = new Supervisor(t, {
    command: service([]),
    sockets: [file],
    env: { LISTEN_FDS: '1' },
  })
  // One socket is passed, but the environment announces three.
  const lying = new Supervisor(t, {
    command: ['/bin/sh', '-c', 'LISTEN_FDS=3 exec "$@" 4</dev/null', 'sh', ...service([])],
    sockets: [hold('udp', '127.12.3.6')],
  })
  supervisor.start()
  lying.start()
  await supervisor.hears('READY')
  await lying.hears('READY')
  const lies = await report(lying)
  t.strictSame((await report(supervisor)).problems, [])
  t.match(lies.extra, [{ fd: 3, transport: 'udp' }])
  t.match(lies.problems[0], { fd: 4, error: 'is not a socket' })
})
