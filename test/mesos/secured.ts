/** The programs themselves, against a Mesos that asks who comes. */
import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, ownAddress } from '../fixture/address.ts'
import { Authority, hasOpenssl, pems } from '../fixture/certificates.ts'
import { ask } from '../fixture/client.ts'
import { daemon, PROGRAM } from '../fixture/daemon.ts'
import { securedMesos, type SecuredMesos } from '../fixture/secured-mesos.ts'

if (!hasOpenssl) process.stderr.write('SKIPPED: a secured Mesos: openssl is not installed\n')

const CLUSTER = {
  tasks: [
    {
      id: 't1',
      name: 'web',
      ips: ['9.0.0.1'],
      discoveryName: 'web',
      ports: [{ number: 80, name: 'http', protocol: 'tcp', labels: { VIP_0: '/web:80' } }],
    },
  ],
}

const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
}) as string
const SECRET = 'c0rrect-horse'

type Kind = 'basic' | 'token' | 'iam'

/** A Mesos over TLS that wants a client certificate and this kind of credentials; the files for it. */
const secured = async (
  t: Test,
  kind: Kind,
): Promise<{ mesos: SecuredMesos; tls: object; file: string; dir: string }> => {
  const dir = t.testdir({})
  const address = ownAddress()
  const ca = new Authority(dir)
  const mesos = await securedMesos(t, {
    address,
    cluster: CLUSTER,
    tls: {
      ...pems(ca.issue(address)),
      ca: pems({ cert: ca.ca, key: ca.ca }).cert,
      requestCert: true,
      rejectUnauthorized: true,
    },
  })
  const basic = `Basic ${Buffer.from(`spartan:${SECRET}`).toString('base64')}`
  mesos.login = () => {
    const exp = Math.floor(Date.now() / 1_000) + 3
    return {
      status: 200,
      token: `${SECRET}.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.${exp}`,
    }
  }
  mesos.accepts = said => {
    if (kind === 'basic') return said === basic
    if (kind === 'token') return said === `Bearer ${SECRET}`
    return said.startsWith(`token=${SECRET}`) && Number(said.split('.').at(-1)) > Date.now() / 1_000
  }
  const texts: Record<Kind, string> = {
    basic: `spartan:${SECRET}`,
    token: SECRET,
    iam: JSON.stringify({ uid: 'spartan', private_key: PEM, login_endpoint: `${mesos.url}/login` }),
  }
  const file = join(dir, kind)
  writeFileSync(file, texts[kind], { mode: 0o600 })
  return { mesos, tls: { ca: ca.ca, ...ca.issue() }, file, dir }
}

const patient = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise(resolve => setTimeout(resolve, 100))
}

for (const kind of ['basic', 'token', 'iam'] as const) {
  t.test(
    `run serves tasks and VIPs of a Mesos secured by ${kind}`,
    { skip: !hasOpenssl },
    async t => {
      const { mesos, tls, file } = await secured(t, kind)
      const one = await daemon(t, {
        mesos: { master: mesos.url, leaderOnly: false, tls, auth: { [kind]: file } },
        vips: { agent: mesos.url, answer: 'backends' },
      })
      const answers = (name: string) => async (): Promise<boolean> =>
        JSON.stringify(await ask(one.at, name)).includes('9.0.0.1')
      await patient(answers('web.marathon.containerip.dcos.thisdcos.directory'))
      await patient(answers('web.marathon.l4lb.thisdcos.directory'))
      // the secret is wrong for a while: what is known stays, and it is asked again within seconds
      const good = mesos.accepts
      mesos.accepts = () => false
      mesos.cut()
      await one.until('the Mesos master gives no state')
      t.ok(await answers('web.marathon.l4lb.thisdcos.directory')())
      const streams = mesos.streams()
      mesos.accepts = good
      await patient(async () => mesos.streams() > streams)
      const said = [
        JSON.stringify(one.log),
        one.stray,
        await one.page('/metrics'),
        await one.page('/v1/status'),
        await one.page('/'),
      ].join('\n')
      for (const secret of [
        SECRET,
        Buffer.from(`spartan:${SECRET}`).toString('base64'),
        'PRIVATE KEY',
      ])
        t.notOk(said.includes(secret), 'no secret is shown')
      t.equal(await one.stop(), 0)
    },
  )
}

t.test('all parts of the daemon use one login of their service account', async t => {
  const mesos = await securedMesos(t, { address: ownAddress(), cluster: CLUSTER })
  const token = `h.${Buffer.from(JSON.stringify({ exp: 4e9 })).toString('base64url')}.s`
  mesos.login = () => ({ status: 200, token })
  mesos.accepts = said => said === `token=${token}`
  const iam = join(
    t.testdir({
      iam: JSON.stringify({ uid: 'u', private_key: PEM, login_endpoint: `${mesos.url}/login` }),
    }),
    'iam',
  )
  const vips = { agent: mesos.url, answer: 'backends' }
  const one = await daemon(t, {
    mesos: { master: mesos.url, leaderOnly: false, auth: { iam } },
    masters: { source: 'url', url: `${mesos.url}/state` },
    vips,
  })
  const asks = async (what: string): Promise<void> => {
    const name = `${what}.dcos.thisdcos.directory`
    await patient(async () => JSON.stringify(await ask(one.at, name)).includes('9.0.0.1'))
  }
  await asks('web.marathon.containerip')
  await patient(async () => mesos.seen.length > 5)
  t.ok(mesos.seen.every(said => said === `token=${token}`))
  t.equal(mesos.logins.length, 1)
  one.configure({ vips: { ...vips, grace: '31s' } })
  await one.reload()
  const before = mesos.seen.length
  await patient(async () => mesos.seen.length > before + 2)
  t.equal(mesos.logins.length, 1, 'also after a reload')
})

/** `spartan mesos-dns` beside this Mesos, with these keys for its credentials. */
const mesosDns = async (
  t: Test,
  { mesos, tls, dir }: Awaited<ReturnType<typeof secured>>,
  credentials: object,
): Promise<{ said: () => string; at: { address: string; port: number } }> => {
  const listener = ownAddress()
  const port = await freePort([listener])
  const httpPort = await freePort([listener])
  const files = tls as { ca: string; cert: string; key: string }
  writeFileSync(
    join(dir, 'mesos-dns.json'),
    JSON.stringify({
      masters: [mesos.url.replace('https://', '')],
      listener,
      port,
      httpListener: listener,
      httpPort,
      externalOn: false,
      mesosHTTPSOn: true,
      caCertFile: files.ca,
      certFile: files.cert,
      keyFile: files.key,
      ...credentials,
    }),
  )
  const program = spawn(
    process.execPath,
    [PROGRAM, 'mesos-dns', '--config', join(dir, 'mesos-dns.json')],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_OPTIONS: '' } },
  )
  let said = ''
  for (const stream of [program.stdout, program.stderr])
    stream.on('data', part => (said += String(part)))
  const exited = new Promise(resolve => program.once('exit', resolve))
  t.teardown(async () => {
    program.kill()
    await exited
  })
  return { said: () => said, at: { address: listener, port } }
}

t.test(
  'mesos-dns serves the names of a Mesos secured by a login',
  { skip: !hasOpenssl },
  async t => {
    const to = await secured(t, 'iam')
    const { said, at } = await mesosDns(t, to, {
      mesosAuthentication: 'iam',
      iamConfigFile: to.file,
    })
    await patient(async () => said().includes('"ready"'))
    const answer = JSON.stringify(await ask(at, 'web.marathon.mesos'))
    t.ok(answer.includes('9.0.0.1'), answer)
    t.notOk(said().includes(SECRET))
  },
)

t.test(
  'mesos-dns with a secret that is refused says which, serves nothing, and is back soon after',
  { skip: !hasOpenssl },
  async t => {
    const to = await secured(t, 'basic')
    const good = to.mesos.accepts
    to.mesos.accepts = () => false
    const { said, at } = await mesosDns(t, to, {
      mesosAuthentication: 'basic',
      mesosCredentials: { principal: 'spartan', secret: SECRET },
    })
    await patient(async () => said().includes('it refuses our credentials (mesosCredentials)'))
    await t.rejects(ask(at, 'web.marathon.mesos', 'A', { tcp: true }), 'nothing listens yet')
    t.notOk(said().includes('"ready"'))
    to.mesos.accepts = good
    await patient(async () => said().includes('"ready"'))
    const answer = JSON.stringify(await ask(at, 'web.marathon.mesos'))
    t.ok(answer.includes('9.0.0.1'), answer)
    for (const secret of [SECRET, Buffer.from(`spartan:${SECRET}`).toString('base64')])
      t.notOk(said().includes(secret), 'no secret is shown')
  },
)
