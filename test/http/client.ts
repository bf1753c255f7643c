import t from 'tap'
import { Backoff } from '../../src/base/backoff.ts'
import { Http, httpReason, IDLE_MS, shownUrl } from '../../src/http/client.ts'
import { codeOf, messageOf } from '../../src/base/error.ts'
import { huge, json, scriptedHttp, silence, status, truncated } from '../fixture/scripted-http.ts'

const failure = async (
  run: Promise<unknown>,
): Promise<Error & { status?: number; location?: string }> => {
  try {
    await run
  } catch (er) {
    return er as Error
  }
  throw new Error('nothing failed')
}

t.test('an exchange gives the JSON of a 200', async t => {
  const server = await scriptedHttp(t, '127.14.0.1')
  const http = new Http({ headers: { authorization: 'secret' } })
  t.teardown(() => http.close())
  server.on('/list', json(['192.0.2.1']))
  server.on('/api/v1', json({ type: 'GET_AGENT' }))
  t.same(await http.getJson(`${server.base}/list`), ['192.0.2.1'])
  t.same(await http.postJson(`${server.base}/api/v1`, { type: 'GET_AGENT' }), { type: 'GET_AGENT' })
  t.equal(server.bodies[1], '{"type":"GET_AGENT"}')
})

t.test('an idle connection is kept for longer than an agent is left alone', async t => {
  const server = await scriptedHttp(t, '127.14.0.1')
  const http = new Http()
  t.teardown(() => http.close())
  // an agent does not announce how long it keeps a connection
  server.on('/list', status(200, { connection: 'keep-alive', 'content-length': '0' }))
  const set = t.capture(globalThis, 'setTimeout', globalThis.setTimeout)
  await http.exchange(`${server.base}/list`)
  await new Promise(resolve => setImmediate(resolve))
  const waits = set().map(({ args }) => args[1])
  t.ok(IDLE_MS > 5_000)
  t.ok(waits.includes(IDLE_MS), String(waits))
})

t.test('a bad answer is an EHTTP error with its reason', async t => {
  const server = await scriptedHttp(t, '127.14.0.1')
  const http = new Http()
  t.teardown(() => http.close())
  server.on('/slow', silence)
  server.on('/huge', huge)
  server.on('/cut', truncated('[1,2'))
  server.on('/html', json('<html>'))
  server.on('/down', status(503))
  const cases: [string, string][] = [
    ['/slow', 'timeout'],
    ['/huge', 'size'],
    ['/cut', 'truncated'],
    ['/html', 'json'],
    ['/down', 'status'],
  ]
  for (const [path, reason] of cases) {
    const deadlineMs = path === '/slow' ? 50 : 20_000
    const er = await failure(http.getJson(server.base + path, { deadlineMs, maxBytes: 1_000_000 }))
    t.equal(codeOf(er), 'EHTTP', path)
    t.equal(httpReason(er), reason, messageOf(er))
  }
  const unreachable = await failure(http.getJson('http://127.14.0.9:9/'))
  t.equal(httpReason(unreachable), 'connect')
  t.match(messageOf(unreachable), /^http:\/\/127.14.0.9:9\/ cannot be reached: /)
})

t.test('a slow body is cut off by the deadline too', async t => {
  const server = await scriptedHttp(t, '127.14.0.1')
  const http = new Http()
  t.teardown(() => http.close())
  server.on('/drip', response => {
    response.writeHead(200)
    response.write('[')
  })
  t.equal(
    httpReason(await failure(http.getJson(`${server.base}/drip`, { deadlineMs: 100 }))),
    'timeout',
  )
})

t.test('a redirect is followed as often as the caller says and no more', async t => {
  const server = await scriptedHttp(t, '127.14.0.1')
  const http = new Http()
  t.teardown(() => http.close())
  server.on('/state', status(307, { location: `//127.14.0.1:${server.port}/here` }))
  server.on('/here', json({ here: true }))
  server.on('/loop', status(302, { location: '/loop' }))
  t.same(await http.getJson(`${server.base}/state`, { redirects: 1 }), { here: true })
  const er = await failure(http.getJson(`${server.base}/state`))
  t.equal(er.status, 307)
  t.equal(er.location, `${server.base}/here`)
  for (const location of ['http://[', 'ftp://192.0.2.1/', '']) {
    server.on('/nowhere', status(302, location === '' ? {} : { location }))
    const lost = await failure(http.getJson(`${server.base}/nowhere`, { redirects: 1 }))
    t.equal(lost.location, '', location)
  }
  t.equal((await failure(http.getJson(`${server.base}/loop`, { redirects: 3 }))).status, 302)
  t.equal(server.seen.filter(s => s === 'GET /loop').length, 4)
})

t.test('a stream hands on what comes and ends with the server', async t => {
  const server = await scriptedHttp(t, '127.14.0.1')
  const http = new Http()
  t.teardown(() => http.close())
  server.on('/api/v1', response => {
    response.writeHead(200)
    response.write('one')
    response.end('two')
  })
  const stream = await http.stream(`${server.base}/api/v1`, { type: 'SUBSCRIBE' })
  let all = ''
  for await (const chunk of stream.chunks) all += chunk.toString()
  t.equal(all, 'onetwo')
})

t.test('a stream that is closed or refused says so', async t => {
  const server = await scriptedHttp(t, '127.14.0.1')
  const http = new Http()
  t.teardown(() => http.close())
  server.on('/open', response => {
    response.writeHead(200)
    response.write('x')
  })
  server.on('/follower', status(307, { location: '//127.14.0.2:5050/api/v1' }))
  const stream = await http.stream(`${server.base}/open`, {})
  const er = await failure(
    (async () => {
      for await (const chunk of stream.chunks) if (chunk.length > 0) stream.close()
    })(),
  )
  t.equal(httpReason(er), 'closed')
  const refused = await failure(http.stream(`${server.base}/follower`, {}))
  t.equal(refused.location, 'http://127.14.0.2:5050/api/v1')
  const abort = new AbortController()
  abort.abort()
  t.equal(
    httpReason(await failure(http.getJson(`${server.base}/open`, { signal: abort.signal }))),
    'closed',
  )
})

t.test('a URL is shown without its password', async t => {
  t.equal(shownUrl('http://user:secret@192.0.2.1/x'), 'http://192.0.2.1/x')
  t.equal(shownUrl('nonsense'), 'an invalid URL')
})

t.test('waits double between their bounds, with jitter', async t => {
  const most = new Backoff({ minMs: 2_000, maxMs: 30_000, random: () => 1 })
  t.same(
    [1, 2, 3, 4, 5, 6].map(() => most.next()),
    [2_000, 4_000, 8_000, 16_000, 30_000, 30_000],
  )
  most.reset()
  t.equal(most.next(), 2_000)
  t.equal(new Backoff({ minMs: 2_000, maxMs: 30_000, random: () => 0 }).next(), 1_000)
})
