/**
 * `spartan resolvconf`: makes this host's programs use the forwarder, and undoes that. Only addresses that answer
 * are written; if none answers, nothing changes.
 */
import type { Command } from 'commander'
import type { Endpoint } from '../../boundary/messages.ts'
import { showEndpoint, type Address } from '../../config/address.ts'
import type { Config } from '../../config/config.ts'
import { fail } from '../../base/error.ts'
import { unifiedDiff } from '../diff.ts'
import { DONE, FAILED, type Io } from '../io.ts'
import {
  configOf,
  examples,
  number,
  target,
  time,
  withConfig,
  type ConfigOption,
} from '../options.ts'
import { readText, replaceFile } from '../replace-file.ts'
import { ResolvHost } from './host.ts'
import { isApplied, managerOf, planApply, planRestore, type HostState } from './plan.ts'
import { answeredBefore, probe, upstreamTrouble } from './probe.ts'
import { recognise, textOf } from './recognise.ts'
import { isOurs, MAX_NAMESERVERS, nameserversIn, resolvConf, searchList } from './text.ts'

/** The addresses that agents use by convention. */
const USUAL: readonly Address[] = [1, 2, 3].map(n => ({ address: `198.51.100.${n}` }))

type Options = ConfigOption & {
  readonly write?: string
  readonly addresses?: readonly Address[]
  readonly port: number
  readonly search: readonly string[]
  readonly keep?: boolean
  readonly timeout: number
  readonly root: string
  readonly json?: boolean
  readonly quiet?: boolean
}

const ACTIONS = ['print', 'apply', 'restore', 'status'] as const
type Action = (typeof ACTIONS)[number]

/** Adds the command to the program. `ended` gets the exit status. */
export const addResolvconf = (program: Command, io: Io, ended: (status: number) => void): void => {
  withConfig(program.command('resolvconf'))
    .description('point the programs of this host at the local addresses that answer, or back')
    .argument(
      '[action]',
      'apply, restore, status, or print: only print a resolv.conf',
      (text: string) => {
        if ((ACTIONS as readonly string[]).includes(text)) return text
        throw fail(`'${text}' is none of ${ACTIONS.join(', ')}`, 'EUSAGE')
      },
      'print',
    )
    .option(
      '-w, --write <file>',
      'with print: replace this file and print the difference; nothing is kept',
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
      "with print: keep the old file's other options, its sortlist, and its search list if none is given (apply always does)",
    )
    .option('--timeout <time>', 'wait so long for each address and transport', time, 5000)
    .option(
      '--root <folder>',
      'work on the files of a host that is not running, below this folder',
      '/',
    )
    .option('--json', 'with status: print it as JSON')
    .option('-q, --quiet', 'with apply: say nothing where nothing is to be done')
    .addHelpText(
      'after',
      `${examples('spartan resolvconf apply', 'spartan resolvconf status', 'spartan resolvconf restore', 'spartan resolvconf print --search corp.example')}
Exit status is 1, and nothing is changed, if no address answers or no upstream has ever answered.
`,
    )
    .action(async (action: Action, options: Options) => ended(await run(io, action, options)))
}

const run = async (io: Io, action: Action, options: Options): Promise<number> => {
  switch (action) {
    case 'apply':
      return apply(io, options)
    case 'restore':
      return restore(io, options)
    case 'status':
      return status(io, options)
    case 'print':
      return print(io, options)
  }
}

/** The addresses that answer, at most as many as the resolver library reads. Prints why others are left out. */
const answering = async (
  io: Io,
  options: Options,
  config: Config | undefined,
): Promise<Endpoint[]> => {
  const wanted: readonly Address[] = options.addresses ?? config?.listen.addresses ?? USUAL
  const usable = wanted.flatMap(({ address, port = options.port }) => {
    const at = { address, port }
    // resolv.conf has no ports. With --port, the operator redirects port 53 to the probed port.
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
  const found = usable.filter((_, i) => troubles[i] === '')
  if (found.length > MAX_NAMESERVERS)
    io.err(`spartan: only the first ${MAX_NAMESERVERS} of ${found.length} addresses are written\n`)
  return found.slice(0, MAX_NAMESERVERS)
}

const addressesOf = (found: readonly Endpoint[]): string[] => found.map(({ address }) => address)

const print = async (io: Io, options: Options): Promise<number> => {
  const search = searchList(options.search)
  const found = await answering(io, options, await configOf(options))
  if (!found.length) {
    io.err(
      `spartan: no address answers${options.write ? `; ${options.write} is left as it is` : ''}\n`,
    )
    return FAILED
  }
  if (options.write) refuseForeign(options.write)
  const old = options.write
    ? readText(options.write)
    : options.keep
      ? readText('/etc/resolv.conf')
      : ''
  const text = resolvConf({
    nameservers: addressesOf(found),
    search,
    keepFrom: options.keep ? old : '',
  })
  if (!options.write) io.out(text)
  else if (text === old) io.err(`spartan: ${options.write} is up to date\n`)
  else {
    replaceFile(options.write, text)
    io.out(unifiedDiff(options.write, old, text))
  }
  return DONE
}

/** Refuses a path that is a link to a file of another program. */
const refuseForeign = (path: string): void => {
  const file = new ResolvHost('/').fileAt(path)
  const manager = recognise(file)
  if (file.kind === 'link' && manager !== 'plain')
    throw fail(
      `${path} leads to a file of ${manager}, ${file.leadsTo}; "spartan resolvconf apply" does what it wants`,
      'ESTATE',
    )
}

const apply = async (io: Io, options: Options): Promise<number> => {
  const search = searchList(options.search)
  const host = new ResolvHost(options.root)
  const state = host.state()
  const config = await configOf(options)
  const found = await answering(io, options, config)
  const via = found[0]
  if (!via) {
    io.err('spartan: no address answers; /etc/resolv.conf is left as it is\n')
    return FAILED
  }
  // Once applied, the file stays even if the upstreams fail, because the cluster's names still work.
  if (!isApplied(state)) {
    const why = await upstreamTrouble(via, config, options.timeout, io.interrupted)
    if (why && !(await answeredBefore(options, config))) {
      io.err(`spartan: no upstream has ever answered (${why}); /etc/resolv.conf is left as it is\n`)
      return FAILED
    }
  }
  const nameservers = addressesOf(found)
  const steps = planApply(state, nameservers, search)
  for (const trouble of host.take(steps)) io.err(`spartan: ${trouble}\n`)
  if (!steps.length && !options.quiet) io.err('spartan: this host asks the forwarder already\n')
  for (const step of steps) {
    if (step.do === 'write') io.out(unifiedDiff('/etc/resolv.conf', textOf(state.file), step.text))
    else if (step.do === 'drop-in') io.out(`${step.path} written\n`)
    else if (step.do === 'register') io.out(`resolvconf(8) has ${nameservers.join(' ')}\n`)
  }
  return asks(host.state(), nameservers) ? DONE : notApplied(io, host.state())
}

/** Whether the file lists our addresses first, as it must after all steps. */
const asks = ({ file }: HostState, nameservers: readonly string[]): boolean =>
  nameserversIn(textOf(file)).slice(0, nameservers.length).join() === nameservers.join()

const notApplied = (io: Io, state: HostState): number => {
  io.err(
    `spartan: /etc/resolv.conf does not name the forwarder: ${managerOf(state)} wrote it anew\n`,
  )
  return FAILED
}

const restore = async (io: Io, options: Options): Promise<number> => {
  const host = new ResolvHost(options.root)
  const state = host.state()
  const steps = planRestore(state)
  for (const trouble of host.take(steps)) io.err(`spartan: ${trouble}\n`)
  if (steps.some(step => step.do === 'put back')) io.out('/etc/resolv.conf is again what it was\n')
  if (state.kept || !isOurs(textOf(state.file))) {
    if (!steps.length && !options.quiet) io.err('spartan: nothing to restore\n')
    return DONE
  }
  io.err(
    'spartan: nothing was kept of the /etc/resolv.conf before ours; write one by hand before the forwarder goes\n',
  )
  return FAILED
}

const status = async (io: Io, options: Options): Promise<number> => {
  const state = new ResolvHost(options.root).state()
  const { file, kept, dropIns } = state
  const seen = {
    applied: isApplied(state),
    manager: managerOf(state),
    nameservers: nameserversIn(textOf(file)),
    original: kept
      ? { kind: kept.was.kind, ...(kept.was.kind === 'link' && { target: kept.was.target }) }
      : null,
    dropIns: Object.keys(dropIns),
  }
  if (options.json) {
    io.out(`${JSON.stringify(seen, null, 2)}\n`)
    return DONE
  }
  const original =
    kept?.was.kind === 'link' ? `a link to ${kept.was.target}` : (kept?.was.kind ?? 'not kept')
  io.out(
    [
      `applied      ${seen.applied ? 'yes' : 'no'}`,
      `manager      ${seen.manager}`,
      `nameservers  ${seen.nameservers.join(' ') || 'none'}`,
      `original     ${original}`,
      ...seen.dropIns.map(path => `drop-in      ${path}`),
      '',
    ].join('\n'),
  )
  return DONE
}
