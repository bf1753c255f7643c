/**
 * No query is lost while the service restarts, reloads, is upgraded or killed. Two clients ask steadily: one as libc
 * does, and dnsperf, which asks only once. With `SPARTAN_RESTARTS=100 SPARTAN_RATE=2000 SPARTAN_NAMES=100000` it
 * measures; the figures are in the diagnostics.
 */
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { boot, cannotBoot } from '../fixture/booted.ts'
import { noDpkg, outside, putPackages } from '../fixture/package.ts'

const TIMES = Number(process.env['SPARTAN_RESTARTS'] ?? 2)
const RATE = Number(process.env['SPARTAN_RATE'] ?? 250)
const NAMES = Number(process.env['SPARTAN_NAMES'] ?? 5_000)
const LIMIT_MS = 530_000 + TIMES * 60_000
t.setTimeout(LIMIT_MS)

const noDnsperf = outside('dnsperf', '-h').error ? 'SKIPPED: dnsperf is not installed' : ''
/** dnsperf's buffer, for all that is answered at once after a restart. */
const BUFFER_KB = 4096
const SERVERS = ['198.51.100.1', '198.51.100.2', '198.51.100.3']
const CONFIG = JSON.stringify({
  listen: { addresses: SERVERS },
  upstreams: ['127.9.9.9'],
  cache: { snapshot: '/var/lib/spartan/cache' },
})

const prepare =
  (t: Test) =>
  (root: string): void => {
    putPackages(t, root)
    cpSync(join(import.meta.dirname, '../fixture/numbered.mjs'), join(root, 'root/numbered.mjs'))
    const queries = Array.from({ length: NAMES }, (_, n) => `n${n}.load.example A`)
    writeFileSync(join(root, 'root/queries'), `${queries.join('\n')}\n`)
    writeFileSync(
      join(root, 'root/dnsperf.sh'),
      `while [ ! -e /root/enough ]; do shuf -n ${RATE} /root/queries; done | dnsperf -s ${SERVERS[1]} -Q ${RATE} -q 60000 -t 180 -b ${BUFFER_KB}`,
    )
  }

/** The upstream plays another machine: it does not wait for what this one is busy with. */
const ELSEWHERE = ['--property=CPUSchedulingPolicy=rr', '--property=CPUSchedulingPriority=50']

/** What `numbered.mjs ask` prints. */
type Summary = {
  readonly asked: number
  readonly right: number
  readonly wrong: number
  readonly silent: number
  readonly again: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly worst: number
  readonly examples: readonly string[]
}

t.test(
  'no query is lost in restarts, upgrades and reloads',
  { skip: cannotBoot() || noDpkg || noDnsperf, timeout: LIMIT_MS },
  async t => {
    const { run, until } = await boot(t, prepare(t))
    t.teardown(() => {
      if (!t.passing())
        t.comment(run('journalctl -b -o short-precise | grep -v kernel: | tail -80').out)
    })
    const ok = (t: Test, line: string): string => {
      const { status, out, err } = run(line)
      if (!t.equal(status, 0, line)) t.comment(out + err)
      return out
    }
    const start = (unit: string, command: string, ...more: readonly string[]): string =>
      ['systemd-run --quiet --collect --property=LimitNOFILE=4096', ...more]
        .concat(`--unit=${unit} --property=StandardOutput=file:/root/${unit} ${command}`)
        .join(' ')
    const numbered = `${process.execPath} /root/numbered.mjs`
    const drops = (): string =>
      run("awk '$2 ~ /0[123]6433C6:0035/ { print $NF }' /proc/net/udp").out

    await t.test(`${NAMES} names are cached`, async t => {
      ok(t, start('upstream', `${numbered} upstream 127.9.9.9`, ...ELSEWHERE))
      ok(t, 'dpkg -i --force-depends /root/0.1.0.deb')
      ok(t, `printf '${CONFIG}' > /etc/spartan/spartan.yaml`)
      ok(t, 'systemctl enable --now spartan')
      ok(t, `${numbered} fill ${SERVERS[0]} ${NAMES}`)
    })

    const trouble: readonly [what: string, once: (n: number) => string, lossy?: boolean][] = [
      ['restart', () => 'systemctl restart spartan'],
      ['upgrade', n => `dpkg -i --force-depends /root/0.${1 + (n % 2)}.0.deb`],
      ['reload', () => 'systemctl reload spartan'],
      [
        'kill -9',
        () =>
          'p=$(systemctl show -P MainPID spartan); kill -9 $p; until [ "$(systemctl show -P MainPID spartan)" != $p ] && systemctl -q is-active spartan; do sleep 0.1; done',
        true,
      ],
    ]
    for (const [what, once, lossy] of trouble)
      await t.test(`${what}, ${TIMES} times at ${RATE} queries a second`, async t => {
        ok(t, 'rm -f /root/enough /root/asking /root/dnsperf')
        ok(t, start('asking', `${numbered} ask ${RATE} ${NAMES} ${SERVERS.join(' ')}`))
        ok(t, start('dnsperf', 'sh /root/dnsperf.sh'))
        for (let n = 1; n <= TIMES; n++) {
          ok(t, once(n))
          ok(t, 'sleep 1')
        }
        ok(t, 'touch /root/enough; systemctl kill -s TERM asking')
        const libc = JSON.parse(await until('grep asked /root/asking')) as Summary
        const dnsperf = await until('grep -A 12 "Queries sent" /root/dnsperf')
        await until('! systemctl is-active -q asking && ! systemctl is-active -q dnsperf')
        t.comment(`${what}: libc ${JSON.stringify(libc)}\n${dnsperf}\ndrops ${drops()}`)
        const { wrong, silent, examples } = libc
        t.same(
          { wrong, silent, examples },
          { wrong: 0, silent: 0, examples: [] },
          'nobody who waits as libc does went without',
        )
        t.ok(libc.asked > 0)
        if (lossy) return
        t.match(dnsperf, /Queries lost: +0 /, 'dnsperf, which asks once, lost nothing')
      })
  },
)
