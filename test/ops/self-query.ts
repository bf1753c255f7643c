import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import dnsPacket from 'dns-packet'
import t, { type Test } from 'tap'
import { askSelf } from '../../src/ops/self-query.ts'

/** A server that sends one reply to everything; without `reply` it is silent. */
const server = async (t: Test, address: string, reply?: (query: dnsPacket.Packet) => Buffer) => {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  t.teardown(() => socket.close())
  const asked: dnsPacket.Packet[] = []
  socket.on('message', (wire, from) => {
    const query = dnsPacket.decode(wire)
    asked.push(query)
    if (reply) socket.send(reply(query), from.port, from.address)
  })
  socket.bind(0, address)
  await once(socket, 'listening')
  return { at: { address, port: socket.address().port }, asked }
}

const answer = ({ id, questions }: dnsPacket.Packet, rcode = 0): Buffer =>
  dnsPacket.encode({
    type: 'response',
    ...(id === undefined ? {} : { id }),
    ...(questions ? { questions } : {}),
    flags: rcode,
    answers: rcode ? [] : [{ name: 'ready.spartan', type: 'A', ttl: 60, data: '127.0.0.1' }],
  })

t.test('askSelf asks for ready.spartan and is content with its address', async t => {
  const { at, asked } = await server(t, '127.12.5.1', query => answer(query))
  t.strictSame(await askSelf(at), { ...at, ok: true, error: '' })
  t.match(asked, [{ type: 'query', questions: [{ name: 'ready.spartan', type: 'A' }] }])
})

t.test('askSelf says what was wrong with the answer, or that there was none', async t => {
  const refusing = await server(t, '127.12.5.2', query => answer(query, 5))
  t.match(await askSelf(refusing.at), { ok: false, error: /rcode 5/ })
  const garbling = await server(t, '127.12.5.3', () => Buffer.from('?'))
  t.match(await askSelf(garbling.at), { ok: false, error: /answers/ })
  const silent = await server(t, '127.12.5.4')
  t.match(await askSelf(silent.at, 50), { ok: false, error: /no answer/ })
})

t.test('askSelf outlives an address that cannot be reached', async t => {
  const { at } = await server(t, '127.12.5.5', query => answer(query))
  t.match(await askSelf({ ...at, address: '127.12.5.6' }), { ok: false, error: 'ECONNREFUSED' })
  // Connecting to the broadcast address fails: with ENETUNREACH on a host without any route, otherwise with EACCES.
  t.match(await askSelf({ address: '255.255.255.255', port: 53 }), {
    ok: false,
    error: /^(EACCES|ENETUNREACH)$/,
  })
  t.match(await askSelf({ address: '2001:db8::1', port: 53 }, 50), { ok: false })
})
