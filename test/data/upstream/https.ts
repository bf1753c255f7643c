/** Questions over HTTPS: what counts as a response, over a real HTTP server. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Https } from '../../../src/data/upstream/https.ts'

const DNS = 'application/dns-message'
type Row = [
  title: string,
  status: number,
  headers: Record<string, string>,
  octets: number,
  expected: number | RegExp,
]
/** The last column: the age of a response that counts, or how it is refused. */
const ROWS: Row[] = [
  ['a response', 200, { 'content-type': DNS }, 40, 0],
  [
    'its type in another case, with a parameter',
    200,
    { 'content-type': `${DNS.toUpperCase()}; a=b` },
    40,
    0,
  ],
  ['out of a cache', 200, { 'content-type': DNS, age: '30' }, 40, 30],
  ['an age that is none', 200, { 'content-type': DNS, age: 'old' }, 40, 0],
  ['an age below zero', 200, { 'content-type': DNS, age: '-5' }, 40, 0],
  ['the longest message', 200, { 'content-type': DNS }, 65_535, 0],
  ['a longer one', 200, { 'content-type': DNS }, 65_536, /more than 65535 bytes/],
  ['a page of a portal', 200, { 'content-type': 'text/html' }, 40, /answered with text\/html/],
  ['no type', 200, {}, 40, /answered with no type/],
  ['a redirect', 302, { location: '/elsewhere', 'content-type': DNS }, 40, /answered 302/],
  ['not allowed', 403, { 'content-type': DNS }, 40, /answered 403/],
  ['too many', 429, { 'retry-after': '60', 'content-type': DNS }, 40, /answered 429/],
  ['out of order', 503, { 'content-type': DNS }, 40, /answered 503/],
]

t.test('a DNS message with status 200 counts, and nothing else', async t => {
  let row: Row = ROWS[0]!
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.headers['content-type']} ${request.headers['accept']}`)
    request.resume().on('end', () => {
      response.writeHead(row[1], row[2]).end(Buffer.alloc(row[3]))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const https = new Https()
  t.teardown(async () => {
    await https.close()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dns-query`
  for (row of ROWS) {
    const [title, , , octets, expected] = row
    const got = https.ask(url, Buffer.alloc(29), new AbortController().signal)
    if (typeof expected === 'number') {
      const { body, age } = await got
      t.same([body.length, age], [octets, expected], title)
    } else await t.rejects(got, { code: 'EHTTP', message: expected }, title)
  }
  t.same(new Set(asked), new Set([`POST ${DNS} ${DNS}`]))
})
