/**
 * `--json` of every command, against a real daemon: what is printed is JSON with the fields that spartan(8) has under
 * JSON OUTPUT, all of them and no other, and a failure is JSON, too.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import t from 'tap'
import { createProgram } from '../../src/cli/program.ts'
import { freePort, ownAddress } from '../fixture/address.ts'
import { QUIET, spartan } from '../fixture/cli.ts'
import { ask } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { dnsServer } from '../fixture/dns-server.ts'

/** Commands without `--json`, and why. */
const WITHOUT: Readonly<Record<string, string>> = {
  run: 'its log is JSON lines',
  'mesos-dns': 'its log is JSON lines',
  balance: 'its log is JSON lines',
  demo: 'a show for people; the daemons in it answer the other commands',
  completion: 'prints a script for a shell',
}

/** Fields of the manual that come only with load, or with a balancer. */
const RARE: Readonly<Record<string, readonly string[]>> = { log: ['dropped'], vips: ['balancer'] }

/** Every command with an action, by its full words. */
const leaves = (command: Command, words: readonly string[] = []): [string, Command][] =>
  command.commands.length > 0
    ? command.commands.flatMap(inner => leaves(inner, [...words, inner.name()]))
    : [[words.join(' '), command]]

const commands = leaves(await createProgram(QUIET, () => {}))
const withJson = commands.filter(([, { options }]) => options.some(o => o.long === '--json'))

/** The fields of each command in the manual. */
const documented = new Map(
  (
    readFileSync(new URL('../../deploy/spartan.8', import.meta.url), 'utf8')
      .split('.Sh JSON OUTPUT\n')[1]!
      .split('\n.Sh ')[0]!
      .match(/^\.It Cm [^]*?(?=\n\.(?:It|El))/gm) ?? []
  ).map(item => [
    item.split('\n')[0]!.slice('.It Cm '.length),
    new Set(
      [...item.matchAll(/^\.Va (.*)$/gm)].flatMap(([, line]) =>
        line!.split(/[\s,.;:]+/).filter(Boolean),
      ),
    ),
  ]),
)

t.test('every command has --json and is in the manual, or has a reason not to', async t => {
  const has = withJson.map(([name]) => name)
  t.strictSame(
    commands
      .map(([name]) => name)
      .filter(name => !has.includes(name))
      .sort(),
    Object.keys(WITHOUT).sort(),
  )
  t.strictSame([...documented.keys()].sort(), has.sort())
})

t.test('a wrong command line is told as JSON', async t => {
  for (const [name] of withJson) {
    const { exit, out, err } = await spartan(...name.split(' '), '--json', '--nonsense')
    t.match({ exit, err }, { exit: 2, err: /./ }, name)
    t.strictSame(JSON.parse(out), { error: "unknown option '--nonsense'", code: 'EUSAGE' }, name)
  }
  t.match(await spartan('keys', '--json'), { exit: 2, out: /"code":"EUSAGE"/ })
  const { out } = await spartan('status', '--json', '--admin', 'x\u009b/y')
  t.notMatch(out, '\u009b', 'a terminal gets no control character')
  t.match(JSON.parse(out), { error: /argument 'x\u009b\/y' is invalid/, code: 'EUSAGE' })
  t.match(await spartan('status', '--', '--json'), { exit: 2, out: '' }, 'this is no option')
})

t.test('a daemon that is not there, and a bad file, are told as JSON', async t => {
  const dir = t.testdir({ 'bad.yaml': 'listen: {}\n' })
  for (const [name, { options, registeredArguments }] of withJson) {
    const words = name.split(' ')
    if (name.startsWith('keys ') && registeredArguments.length > 0) words.push('A'.repeat(43) + '=')
    else if (registeredArguments.some(({ required }) => required)) words.push('a.example')
    if (name === 'query') words.push('--trace')
    if (options.some(o => o.long === '--admin')) {
      const { exit, out, err } = await spartan(...words, '--json', '--admin', `${dir}/nobody`)
      t.match({ exit, err }, { exit: 1, err: /^spartan: / }, name)
      t.match(JSON.parse(out), { error: /nothing answers|cannot follow/, code: 'EHTTP' }, name)
    }
    if (!options.some(o => o.long === '--config')) continue
    const { exit, out } = await spartan(...words, '--json', '-c', `${dir}/bad.yaml`)
    t.equal(exit, 2, name)
    const file = `${dir}/bad.yaml`
    t.match(JSON.parse(out), { file, problems: [{ path: 'listen.addresses' }] }, name)
  }
})

type Case = { readonly args: readonly string[]; readonly exit?: number; readonly lines?: boolean }

t.test('the fields of every command are those of the manual', async t => {
  const dir = t.testdir({
    'bad.yaml': 'listen: {}\n',
    root: { etc: { 'resolv.conf': 'nameserver 192.0.2.1\n' }, var: { lib: {} } },
    'vips.yaml': JSON.stringify({
      framework: 'marathon',
      vips: [{ vip: '/web:80', backends: ['127.0.0.1:8080'] }],
    }),
  })
  const keyring = `${dir}/keyring.json`
  const said = await spartan('keys', 'generate', '--json', '-o', keyring)
  t.match(JSON.parse(said.out), { file: keyring, keys: 1 })
  const [old] = JSON.parse(readFileSync(keyring, 'utf8')) as [string]
  const address = ownAddress()
  const upstream = await dnsServer(t, address, () => ({ flags: 0x8182 }))
  const d = await daemon(t, {
    upstreams: [`${address}:${upstream}`],
    masters: { addresses: [address] },
    mesos: { master: `http://${address}:9` },
    gossip: { bind: `${address}:${await freePort([address])}`, keyring, seeds: [] },
    vips: { address, files: [`${dir}/vips.yaml`], answer: 'backends' },
  })
  const asking = new AbortController()
  t.teardown(() => asking.abort())
  const steadily = (async () => {
    while (!asking.signal.aborted) {
      await ask(d.at, 'a.example').catch(() => {})
      await ask(d.at, 'ready.spartan').catch(() => {})
      await sleep(20)
    }
  })()
  const key = (
    JSON.parse((await spartan('keys', 'generate', '--print', '--json')).out) as { key: string }
  ).key
  const at = ['-a', d.at.address, '--port', String(d.at.port), '--root', `${dir}/root`]
  const CASES: Readonly<Record<string, readonly Case[]>> = {
    check: [
      { args: ['-c', d.configPath, '--deep'], exit: 1 },
      { args: ['-c', `${dir}/bad.yaml`], exit: 2 },
    ],
    reload: [{ args: [] }],
    query: [
      { args: ['a.example', '-c', d.configPath], exit: 1 },
      { args: ['ready.spartan', '--trace'] },
    ],
    status: [{ args: [] }],
    top: [{ args: ['-i', '1s', '-n', '7'], lines: true }],
    log: [{ args: ['-n', '40'], lines: true }],
    'cache list': [{ args: [] }],
    'cache show': [{ args: ['ready.spartan'] }],
    upstreams: [{ args: [] }],
    vips: [{ args: [] }],
    members: [{ args: [] }, { args: ['--nodes'] }],
    'keys list': [{ args: [] }],
    'keys install': [{ args: [key] }],
    'keys use': [{ args: [key] }],
    'keys remove': [{ args: [old] }],
    'keys generate': [{ args: ['-o', `${dir}/other.json`] }, { args: ['--print'] }],
    resolvconf: ['status', 'print', 'apply', 'restore'].map(action => ({
      args: [action, ...at, '-c', d.configPath],
    })),
    version: [{ args: [] }],
    drill: [{ args: ['upstreams', '--for', '1s'] }, { args: ['stop'] }],
    'cache flush': [{ args: [] }],
  }
  t.strictSame(Object.keys(CASES).sort(), withJson.map(([name]) => name).sort(), 'all are tried')
  for (const [name, cases] of Object.entries(CASES)) {
    const seen = new Set<string>(RARE[name])
    const { options } = commands.find(([one]) => one === name)![1]
    const admin = options.some(o => o.long === '--admin') ? ['--admin', d.socket] : []
    for (const { args, exit = 0, lines = false } of cases) {
      const from = args.includes('-c') ? [] : admin
      const ran = await spartan(...name.split(' '), ...args, ...from, '--json')
      t.match(ran, { exit, err: '' }, `${name} ${args.join(' ')} ${ran.out.slice(0, 300)}`)
      const texts = lines ? ran.out.trim().split('\n') : [ran.out]
      for (const document of texts.map(text => JSON.parse(text) as object))
        for (const one of Array.isArray(document) ? (document as object[]) : [document])
          for (const field of Object.keys(one)) seen.add(field)
    }
    t.strictSame([...seen].sort(), [...(documented.get(name) ?? [])].sort(), name)
  }
  asking.abort()
  await steadily
})
