/** The commands reach a daemon over HTTPS with its token: the real program asks a real daemon. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort, ownAddress } from '../fixture/address.ts'
import { Authority, hasOpenssl } from '../fixture/certificates.ts'
import { daemon, PROGRAM } from '../fixture/daemon.ts'

const skip = !hasOpenssl && 'SKIPPED: openssl is not installed'

/** Runs the compiled program, without tap's loaders. */
const spartan = (...args: string[]): Promise<{ exit: number; out: string; err: string }> =>
  new Promise(resolve => {
    const env = { ...process.env, NODE_OPTIONS: '' }
    execFile(process.execPath, [PROGRAM, ...args], { env }, (er, out, err) =>
      resolve({ exit: er ? Number(er.code) : 0, out, err }),
    )
  })

t.test('commands over HTTPS, with a token and an authority', { skip }, async t => {
  const dir = t.testdir()
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text, { mode: 0o600 })
    return join(dir, name)
  }
  const authority = new Authority(dir)
  const other = new Authority(dir, 'other')
  const address = ownAddress()
  const port = await freePort([address])
  const pair = authority.issue(address)
  const token = file('token', `${'k'.repeat(24)}\n`)
  const wrong = file('wrong', `${'x'.repeat(24)}\n`)
  const d = await daemon(t, {
    admin: { listen: `${address}:${port}`, socket: '', tls: pair, token },
  })
  const url = `https://${address}:${port}`
  const https = ['--admin', url, '--ca', authority.ca]

  t.match(await spartan('status', ...https, '--token', token), {
    exit: 0,
    out: /agent-under-test/,
    err: '',
  })
  const { out } = await spartan('top', '--once', '--json', ...https, '--token', token)
  t.ok('qps' in (JSON.parse(out) as object), 'top asks more than once')
  t.match(
    await spartan('upstreams', '-c', d.configPath, '--ca', authority.ca),
    { exit: 0, out: 'no upstreams\n' },
    'the configuration says that it is HTTPS, and where the token is',
  )

  for (const [why, args, err] of [
    ['no token', https, /a valid token is missing; --token names the file with it\n$/],
    ['another token', [...https, '--token', wrong], /a valid token is missing/],
    ['no authority', ['--admin', url, '--token', token], /is not trusted: .*; --ca names its auth/],
    ['another authority', ['--admin', url, '--token', token, '--ca', other.ca], /is not trusted: /],
    ['no file', [...https, '--token', join(dir, 'none')], /token: .*none does not exist\n$/],
    [
      'no PEM',
      ['--admin', url, '--ca', token],
      /authority: .*token holds no certificate in PEM\n$/,
    ],
    [
      'no TLS',
      ['--admin', `http://${address}:${port}`],
      /^spartan: http:.* broke|^spartan: http:.* cannot/,
    ],
  ] as const) {
    const ran = await spartan('status', ...args)
    t.match(ran, { exit: 1, out: '', err }, why)
    t.notMatch(ran.err, /k{24}|x{24}|\n {4}at /, 'no secret and no stack')
  }
  t.match(await spartan('cache', 'flush', ...https, '--token', token), {
    exit: 1,
    err: /only over the Unix socket/,
  })
  t.match(await spartan('log', ...https, '--token', token), {
    exit: 1,
    err: /only on the Unix socket/,
  })
  for (const host of ['192.0.2.1', 'agent.invalid', '127.agent.invalid', 'localhost.invalid'])
    t.match(
      await spartan('status', '--admin', `http://${host}:62080`, '--token', token),
      { exit: 2, err: `spartan: the token would travel to http://${host}:62080 unencrypted` },
      `nothing is sent to ${host}`,
    )
  t.match(await spartan('status', '--json', ...https), {
    exit: 1,
    out: /"status":401\}\n$/,
    err: /a valid token is missing/,
  })
  await d.stop()
  t.match(await spartan('status', ...https, '--token', token), {
    exit: 1,
    err: `spartan: the daemon is not running: nothing answers at ${url}\n`,
  })
})
