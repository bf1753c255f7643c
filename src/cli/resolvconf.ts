/**
 * `spartan resolvconf`: probe our addresses as libc would use them, and write
 * those that answer into resolv.conf. When none answers the old file stays:
 * what it says is better than nothing, and nothing here is ever empty.
 */
import type { Command } from 'commander'
import type { Endpoint } from '../boundary/messages.ts'
import { showEndpoint, type Address } from '../config/address.ts'
import { TYPE } from '../wire/codes.ts'
import { ancount, rcode } from '../wire/header.ts'
import { unifiedDiff } from './diff.ts'
import { ask, queryWire } from './dns-client.ts'
import { DONE, FAILED, type Io } from './io.ts'
import {
  configOf,
  examples,
  number,
  target,
  time,
  withConfig,
  type ConfigOption,
} from './options.ts'
import { readText, replaceFile } from './replace-file.ts'
import { MAX_NAMESERVERS, resolvConf, searchList } from './resolv-conf.ts'

/** The addresses agents have by convention. */
const USUAL: readonly Address[] = [1, 2, 3].map(n => ({ address: `198.51.100.${n}` }))

/** The name that is there as soon as the daemon answers at all, and the type its watchdogs have always asked for. */
const PROBE = { name: 'ready.spartan', qtype: TYPE.ANY }

type Options = ConfigOption & {
  readonly write?: string
  readonly addresses?: readonly Address[]
  readonly port: number
  readonly search: readonly string[]
  readonly keep?: boolean
  readonly timeout: number
}

/** Why an address must not stand in resolv.conf, or ''. */
const probe = async (to: Endpoint, timeout: number, signal: AbortSignal): Promise<string> => {
  for (const tcp of [false, true]) {
    const wire = queryWire(PROBE.name, PROBE)!
    // Two tries share the time: one lost datagram is no failure.
    const reply = await ask(wire, {
      server: to,
      timeout: tcp ? timeout : timeout / 2,
      attempts: 2,
      tcp,
      signal,
    })
    const over = tcp ? 'over TCP' : 'over UDP'
    if ('silence' in reply) return `${over}: ${reply.silence}`
    if (rcode(reply.wire) !== 0 || ancount(reply.wire) === 0)
      return `${over}: ${PROBE.name} has no answer there`
  }
  return ''
}

/** Add the command to the program. `ended` takes the exit status. */
export const addResolvconf = (program: Command, io: Io, ended: (status: number) => void): void => {
  withConfig(program.command('resolvconf'))
    .description('make a resolv.conf of the local addresses that answer, over UDP and TCP')
    .option(
      '-w, --write <file>',
      'replace this file and print the difference (default: print the new text)',
    )
    .option(
      '-a, --addresses <address...>',
      "probe these (default: the configuration's, or 198.51.100.1 to .3)",
      (text: string, had: Address[] = []) => [...had, target(text)],
    )
    .option(
      '--search <domain...>',
      'search list, at most 6 domains',
      (text: string, had: string[] = []) => [...had, ...text.split(/\s+/)],
      [],
    )
    .option(
      '--port <number>',
      'probe this port, where something leads port 53 to it',
      number(1, 65_535),
      53,
    )
    .option(
      '--keep',
      "keep the old file's other options, its sortlist, and its search list if none is given",
    )
    .option('--timeout <time>', 'wait so long for each address and transport', time, 5000)
    .addHelpText(
      'after',
      `${examples('spartan resolvconf', 'spartan resolvconf --write /etc/resolv.conf --search corp.example --keep')}
Exit status is 1, and the file is left alone, if no address answers.
`,
    )
    .action(async (options: Options) => ended(await resolvconf(io, options)))
}

const resolvconf = async (io: Io, options: Options): Promise<number> => {
  const search = searchList(options.search)
  const wanted: readonly Address[] =
    options.addresses ?? (await configOf(options))?.listen.addresses ?? USUAL
  const usable = wanted.flatMap(({ address, port = options.port }) => {
    const at = { address, port }
    // A resolv.conf has addresses only; with --port something leads port 53 to the one that is probed.
    const why =
      port !== options.port
        ? `resolv.conf cannot say a port other than ${options.port}`
        : address.includes('%')
          ? 'the address has a scope'
          : ''
    if (why) io.err(`spartan: ${showEndpoint(at)} left out: ${why}\n`)
    return why ? [] : [at]
  })
  const troubles = await Promise.all(usable.map(at => probe(at, options.timeout, io.interrupted)))
  for (const [i, why] of troubles.entries()) {
    if (why) io.err(`spartan: ${showEndpoint(usable[i]!)} left out: ${why}\n`)
  }
  const nameservers = usable.filter((_, i) => troubles[i] === '').map(({ address }) => address)
  if (nameservers.length > MAX_NAMESERVERS)
    io.err(
      `spartan: only the first ${MAX_NAMESERVERS} of ${nameservers.length} addresses are written\n`,
    )
  if (!nameservers.length) {
    io.err(
      `spartan: no address answers${options.write ? `; ${options.write} is left as it is` : ''}\n`,
    )
    return FAILED
  }
  const old = options.write
    ? readText(options.write)
    : options.keep
      ? readText('/etc/resolv.conf')
      : ''
  const text = resolvConf({ nameservers, search, keepFrom: options.keep ? old : '' })
  if (!options.write) io.out(text)
  else if (text === old) io.err(`spartan: ${options.write} is up to date\n`)
  else {
    replaceFile(options.write, text)
    io.out(unifiedDiff(options.write, old, text))
  }
  return DONE
}
