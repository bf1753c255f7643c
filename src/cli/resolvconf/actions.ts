/** The actions of `spartan resolvconf`. Each reports what it did and returns its exit status. */
import type { Endpoint } from '../../boundary/messages.ts'
import { showEndpoint, type Address } from '../../config/address.ts'
import type { Config } from '../../config/config.ts'
import { fail } from '../../base/error.ts'
import { unifiedDiff } from '../diff.ts'
import { configOf, type ConfigOption } from '../options.ts'
import { readText, replaceFile } from '../replace-file.ts'
import { ResolvHost } from './host.ts'
import { isApplied, managerOf, namesFirst, planApply, planRestore, type Step } from './plan.ts'
import { answeredBefore, probe, upstreamTrouble } from './probe.ts'
import { recognise, textOf } from './recognise.ts'
import type { Report } from './report.ts'
import { isOurs, MAX_NAMESERVERS, nameserversIn, resolvConf, searchList } from './text.ts'

/** The addresses that agents use by convention. */
const USUAL: readonly Address[] = [1, 2, 3].map(n => ({ address: `198.51.100.${n}` }))

export type Options = ConfigOption & {
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

/** What an action needs. */
export type Task = {
  readonly report: Report
  readonly options: Options
  readonly interrupted: AbortSignal
}

/** The addresses that answer, at most as many as the resolver library reads. Reports why others are left out. */
const answering = async (
  { report, options, interrupted }: Task,
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
    if (why) report.remark(`${showEndpoint(at)} left out: ${why}`)
    return why ? [] : [at]
  })
  const troubles = await Promise.all(usable.map(at => probe(at, options.timeout, interrupted)))
  for (const [i, why] of troubles.entries()) {
    if (why) report.remark(`${showEndpoint(usable[i]!)} left out: ${why}`)
  }
  const found = usable.filter((_, i) => troubles[i] === '')
  if (found.length > MAX_NAMESERVERS)
    report.remark(`only the first ${MAX_NAMESERVERS} of ${found.length} addresses are written`)
  return found.slice(0, MAX_NAMESERVERS)
}

const addressesOf = (found: readonly Endpoint[]): string[] => found.map(({ address }) => address)

/** Prints a resolv.conf, or writes it to a file of the operator's choice. */
export const print = async (task: Task): Promise<number> => {
  const { report, options } = task
  const search = searchList(options.search)
  const nameservers = addressesOf(await answering(task, await configOf(options)))
  const none = { nameservers, changed: [] }
  if (nameservers.length === 0) {
    report.remark(`no address answers${options.write ? `; ${options.write} is left as it is` : ''}`)
    return report.end(false, { ...none, text: '' })
  }
  if (options.write) refuseForeign(options.write)
  const old = options.write
    ? readText(options.write)
    : options.keep
      ? readText('/etc/resolv.conf')
      : ''
  const text = resolvConf({ nameservers, search, keepFrom: options.keep ? old : '' })
  if (!options.write) {
    report.text(text)
    return report.end(true, { ...none, text })
  }
  if (text === old) {
    report.remark(`${options.write} is up to date`)
    return report.end(true, { ...none, text })
  }
  replaceFile(options.write, text)
  report.text(unifiedDiff(options.write, old, text))
  return report.end(true, { nameservers, changed: [options.write], text })
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

/** The paths that these steps change on the host. */
const changedBy = (steps: readonly Step[]): string[] =>
  steps.flatMap(step =>
    step.do === 'drop-in' || step.do === 'remove'
      ? [step.path]
      : ['write', 'put back', 'register', 'unregister'].includes(step.do)
        ? ['/etc/resolv.conf']
        : [],
  )

/** Points the host at the addresses that answer. */
export const apply = async (task: Task): Promise<number> => {
  const { report, options, interrupted } = task
  const search = searchList(options.search)
  const host = new ResolvHost(options.root)
  const state = host.state()
  const config = await configOf(options)
  const found = await answering(task, config)
  const nameservers = addressesOf(found)
  const unchanged = (why: string): number => {
    report.remark(`${why}; /etc/resolv.conf is left as it is`)
    return report.end(false, { nameservers, changed: [] })
  }
  const via = found[0]
  if (!via) return unchanged('no address answers')
  // Once applied, the file stays even if the upstreams fail, because the cluster's names still work.
  if (!isApplied(state)) {
    const why = await upstreamTrouble(via, config, options.timeout, interrupted)
    if (why && !(await answeredBefore(options, config)))
      return unchanged(`no upstream has ever answered (${why})`)
  }
  const steps = planApply(state, nameservers, search)
  for (const trouble of host.take(steps)) report.remark(trouble)
  if (!steps.length && !options.quiet) report.remark('this host asks the forwarder already')
  for (const step of steps) {
    if (step.do === 'write')
      report.text(unifiedDiff('/etc/resolv.conf', textOf(state.file), step.text))
    else if (step.do === 'drop-in') report.text(`${step.path} written\n`)
    else if (step.do === 'register') report.text(`resolvconf(8) has ${nameservers.join(' ')}\n`)
  }
  const after = host.state()
  const asked = namesFirst(after.file, nameservers)
  if (!asked) {
    const [first = 'none'] = nameserversIn(textOf(after.file))
    report.remark(
      `/etc/resolv.conf does not name the forwarder first: ${managerOf(after)} wrote ${first} there`,
    )
  }
  return report.end(asked, { nameservers, changed: changedBy(steps) })
}

/** Puts back what was there before `apply`. */
export const restore = async ({ report, options }: Task): Promise<number> => {
  const host = new ResolvHost(options.root)
  const state = host.state()
  const steps = planRestore(state)
  const facts = { changed: changedBy(steps) }
  for (const trouble of host.take(steps)) report.remark(trouble)
  if (steps.some(step => step.do === 'put back'))
    report.text('/etc/resolv.conf is again what it was\n')
  if (state.kept || !isOurs(textOf(state.file))) {
    if (!steps.length && !options.quiet) report.remark('nothing to restore')
    return report.end(true, facts)
  }
  report.remark(
    'nothing was kept of the /etc/resolv.conf before ours; write one by hand before the forwarder goes',
  )
  return report.end(false, facts)
}

/** Says whether it is applied, and what was kept. */
export const status = async ({ report, options }: Task): Promise<number> => {
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
  const original =
    kept?.was.kind === 'link' ? `a link to ${kept.was.target}` : (kept?.was.kind ?? 'not kept')
  report.text(
    [
      `applied      ${seen.applied ? 'yes' : 'no'}`,
      `manager      ${seen.manager}`,
      `nameservers  ${seen.nameservers.join(' ') || 'none'}`,
      `original     ${original}`,
      ...seen.dropIns.map(path => `drop-in      ${path}`),
      '',
    ].join('\n'),
  )
  return report.end(true, seen)
}
