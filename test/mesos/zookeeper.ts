/** The forwarder follows the masters in a real ZooKeeper. */
import t, { type Test } from 'tap'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silent } from '../../src/base/log.ts'
import { ZkMasters } from '../../src/mesos/zookeeper/masters.ts'
import { freePort, ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'
import { daemon, PROGRAM } from '../fixture/daemon.ts'
import { securedMesos } from '../fixture/secured-mesos.ts'
import { Authority, hasOpenssl, pems } from '../fixture/certificates.ts'
import { hasZooKeeper, NO_ZOOKEEPER, zooKeeper } from '../fixture/zookeeper.ts'

if (!hasZooKeeper) process.stderr.write(NO_ZOOKEEPER)

const master = async (t: { teardown(fn: () => unknown): unknown }, ip: string) => {
  const address = ownAddress()
  const cluster = { tasks: [{ id: 't', name: 'web', ips: [ip] }] }
  return { address, mesos: await securedMesos(t, { address, cluster }) }
}

/** What `spartan check --deep` prints. */
const deep = async (file: string, masters: object): Promise<string> => {
  writeFileSync(
    file,
    JSON.stringify({
      listen: { addresses: [ownAddress()], port: 5300 },
      admin: { listen: '', socket: '' },
      masters: { source: 'zk', ...masters },
    }),
  )
  // a process of its own: this one must go on to keep the masters' sessions alive
  const args = [PROGRAM, 'check', '--config', file, '--deep']
  return new Promise(resolve =>
    execFile(process.execPath, args, (_, out, err) => resolve(`${out}${err}`)),
  )
}

/** `spartan mesos-dns` with this ZooKeeper; returns a function that tells whether `web` has an address there. */
const mesosDns = async (
  t: Test,
  dir: string,
  zk: string,
): Promise<(ip: string) => () => Promise<boolean>> => {
  const address = ownAddress()
  const port = await freePort([address])
  const config = {
    zk,
    port,
    listener: address,
    httpListener: address,
    httpPort: await freePort([address]),
  }
  writeFileSync(join(dir, 'mesos-dns.json'), JSON.stringify(config))
  const child = spawn(
    process.execPath,
    [PROGRAM, 'mesos-dns', '--config', join(dir, 'mesos-dns.json')],
    {
      stdio: 'ignore',
      env: { ...process.env, NODE_OPTIONS: '', _TAPJS_PROCESSINFO_EXCLUDE_: '.' },
    },
  )
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return ip => async () => {
    const reply = await ask({ address, port }, 'web.marathon.mesos', 'A', { timeout: 500 }).catch(
      () => undefined,
    )
    return JSON.stringify(reply ?? '').includes(`"${ip}"`)
  }
}

const patient = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise(resolve => setTimeout(resolve, 50))
}

t.test(
  'a new leader is asked at once, however the old one ended',
  { skip: !hasZooKeeper },
  async t => {
    const user = 'spartan:s3cret'
    const zk = await zooKeeper(t, ownAddress(), user)
    const [one, two, three] = [
      await master(t, '9.0.0.1'),
      await master(t, '9.0.0.2'),
      await master(t, '9.0.0.3'),
    ]
    const first = await zk.register(one.address, one.mesos.port, user)
    const second = await zk.register(two.address, two.mesos.port, user)
    const third = await zk.register(three.address, three.mesos.port, user)
    t.teardown(() => third.kill())
    const dir = t.testdir({})
    const secret = (name: string, text: string): string => {
      writeFileSync(join(dir, name), `${text}\n`, { mode: 0o600 })
      return join(dir, name)
    }
    const digest = secret('digest', user)
    const spartan = await daemon(t, {
      masters: { source: 'zk', zk: zk.url, zkDigest: digest },
      mesos: { master: 'zk' },
    })
    const good = await deep(join(dir, 'good.json'), { zk: zk.url, zkDigest: digest })
    t.match(good, /^masters\.zk +\S+ +answered in \d+ ms$/m, 'check --deep asks ZooKeeper')
    const zkDigest = secret('wrong', 'spartan:another')
    const bad = await deep(join(dir, 'bad.json'), { zk: zk.url, zkDigest })
    t.match(bad, /: masters\.zk: \S+: \S.*error -?\d+/, 'a wrong password')
    t.notOk(`${good}${bad}`.match(/s3cret|another/), 'no password is shown')
    const names = (ip: string) => async (): Promise<boolean> => {
      const reply = await ask(spartan.at, 'web.marathon.containerip.dcos.thisdcos.directory')
      return JSON.stringify(reply).includes(`"${ip}"`)
    }
    await patient(names('9.0.0.1'))
    const zkNames = JSON.stringify(await ask(spartan.at, 'zk-1.zk'))
    t.ok(
      [one, two, three].some(({ address }) => zkNames.includes(address)),
      zkNames,
    )
    const dns = await mesosDns(t, dir, zk.url.replace('zk://', `zk://${user}@`))
    await patient(dns('9.0.0.1'))
    // Notices when ZooKeeper names another leader, to say how long the names took from then on.
    const watch = new ZkMasters({
      url: zk.url,
      digest: () => user,
      fallback: [],
      detectionMs: 0,
      log: silent,
      random: () => 0,
    })
    t.teardown(() => watch.close())
    let named = 0
    watch.onChange = () => void (named = performance.now())
    watch.start()
    await patient(async () => watch.leader.startsWith(one.address))
    const follow = async (what: string, ip: string): Promise<void> => {
      const before = named
      await patient(async () => named !== before)
      const took = async (holds: () => Promise<boolean>): Promise<number> => {
        await patient(holds)
        return Math.round(performance.now() - named)
      }
      const [run, server] = await Promise.all([took(names(ip)), took(dns(ip))])
      t.comment(
        `${what}: names of the new leader after ${run} ms in run, ${server} ms in mesos-dns`,
      )
    }
    // frozen: its stream stays open and says nothing more, its session with ZooKeeper expires
    first.freeze()
    await follow('frozen', '9.0.0.2')
    t.equal(one.mesos.streams(), 2, 'the old leader was left by both, not waited for')
    second.kill()
    await follow('killed', '9.0.0.3')
    const fourth = await zk.register(one.address, one.mesos.port, user)
    t.teardown(() => fourth.kill())
    third.leave()
    await follow('session ended', '9.0.0.1')
    const said = `${JSON.stringify(spartan.log)}${await spartan.page('/v1/status')}`
    t.notOk(said.includes('s3cret'), 'no password is shown')
    t.equal(await spartan.stop(), 0)
  },
)

t.test(
  'over TLS with a client certificate, a digest for ZooKeeper, and masters that speak TLS',
  { skip: !hasZooKeeper || !hasOpenssl },
  async t => {
    const dir = t.testdir({})
    const ca = new Authority(dir)
    const user = 'spartan:s3cret'
    const host = ownAddress()
    const zk = await zooKeeper(t, host, user, { pair: ca.issue(host), ca: ca.ca })
    const address = ownAddress()
    const mesos = await securedMesos(t, {
      address,
      cluster: { tasks: [{ id: 't', name: 'web', ips: ['9.0.0.7'] }] },
      tls: pems(ca.issue(address)),
    })
    const registrant = await zk.register(address, mesos.port, user)
    t.teardown(() => registrant.kill())
    writeFileSync(join(dir, 'digest'), user, { mode: 0o600 })
    const masters = { source: 'zk', zk: zk.secureUrl, zkDigest: join(dir, 'digest') }
    const { cert, key } = ca.issue()
    const tls = { ca: ca.ca, cert, key }
    const spartan = await daemon(t, { masters, mesos: { master: 'zk', tls } })
    await patient(async () => {
      const reply = await ask(spartan.at, 'web.marathon.containerip.dcos.thisdcos.directory')
      return JSON.stringify(reply).includes('"9.0.0.7"')
    })
    // A ZooKeeper whose certificate another authority signed is not believed, and it says so.
    const other = new Authority(dir, 'other')
    const doubting = await daemon(t, {
      masters,
      mesos: { master: 'zk', tls: { ...tls, ca: other.ca } },
    })
    const { err } = await doubting.until('no session with ZooKeeper')
    t.match(err, /self.signed certificate|unable to verify|issuer certificate/)
    t.match(JSON.stringify((await doubting.status())['health']), /ZooKeeper|master/)
  },
)
