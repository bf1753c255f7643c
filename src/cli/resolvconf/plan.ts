/**
 * Plans how to make this host's programs use the forwarder, and how to undo it. Pure: from the state of the host to
 * an ordered list of steps. The host can resolve names after each step, so the list may be interrupted.
 */
import { dirname } from 'node:path'
import { asksResolved, recognise, textOf, type Manager, type ResolvFile } from './recognise.ts'
import { isOurs, nameserversIn, resolvConf } from './text.ts'

/** The original state of the host, kept until it is restored. */
export type Kept = {
  readonly manager: Manager
  /** The original /etc/resolv.conf. */
  readonly was: ResolvFile
  /** Folders that we made for drop-ins. */
  readonly made?: readonly string[]
  /** What we added to resolvconf(8). */
  readonly registered?: string
}

export type HostState = {
  readonly file: ResolvFile
  /** What an earlier run kept. */
  readonly kept: Kept | undefined
  /** /etc/nsswitch.conf. */
  readonly nsswitch: string
  /** Our files in other programs' configuration folders that exist: path → text. */
  readonly dropIns: Readonly<Record<string, string>>
  /** Folders of drop-ins that do not exist. */
  readonly missing: readonly string[]
  /** Whether NetworkManager runs here. */
  readonly networkManager: boolean
}

export type Step =
  | { readonly do: 'keep'; readonly kept: Kept }
  /** Replaces /etc/resolv.conf. If it is a link, the link is replaced, never its target. */
  | { readonly do: 'write'; readonly text: string }
  | { readonly do: 'put back'; readonly was: ResolvFile }
  | { readonly do: 'drop-in'; readonly path: string; readonly text: string }
  | { readonly do: 'remove'; readonly path: string }
  /** Removes a folder, unless somebody else has a file in it. */
  | { readonly do: 'remove folder'; readonly path: string }
  | { readonly do: 'reload'; readonly unit: string }
  /** Adds our nameservers to resolvconf(8), which writes the file, or removes them. */
  | { readonly do: 'register'; readonly text: string }
  | { readonly do: 'unregister' }
  | { readonly do: 'forget' }

/** The name of our record in resolvconf(8); records of `lo` come first. */
export const RECORD = 'lo.spartan'

export const NETWORK_MANAGER = '/etc/NetworkManager/conf.d/90-spartan-dns.conf'
export const RESOLVED = '/etc/systemd/resolved.conf.d/90-spartan.conf'
export const DROP_INS = [NETWORK_MANAGER, RESOLVED] as const

const UNITS: Readonly<Record<string, string>> = {
  [NETWORK_MANAGER]: 'NetworkManager.service',
  [RESOLVED]: 'systemd-resolved.service',
}

// Unlike dns=none, this leaves its other ways alone: it still tells systemd-resolved, or runs dnsmasq.
const networkManagerText = `# Written by "spartan resolvconf apply": NetworkManager leaves /etc/resolv.conf alone.
# "spartan resolvconf restore" removes this file.
[main]
rc-manager=unmanaged
`

// An empty DNS= forgets the servers of other files, which would be asked before ours.
const resolvedText = (nameservers: readonly string[]): string =>
  `# Written by "spartan resolvconf apply": systemd-resolved asks the forwarder for every name.
# "spartan resolvconf restore" removes this file.
[Resolve]
DNS=
DNS=${nameservers.join(' ')}
Domains=~.
`

/** The program that manages resolv.conf on this host; while our file is in place, the one that did so before. */
export const managerOf = ({ file, kept }: HostState): Manager =>
  isOurs(textOf(file)) && file.kind === 'file' ? (kept?.manager ?? 'plain') : recognise(file)

/** Whether this host's programs ask the forwarder. */
export const isApplied = ({ file, kept }: HostState): boolean =>
  isOurs(textOf(file)) ||
  (kept?.registered !== undefined && namesFirst(file, nameserversIn(kept.registered)))

/** Whether the file lists these nameservers before all others. */
export const namesFirst = (file: ResolvFile, nameservers: readonly string[]): boolean =>
  nameserversIn(textOf(file)).slice(0, nameservers.length).join() === nameservers.join()

/**
 * @param nameservers addresses that answer, at least one
 * @param search search list from the operator; by default the host keeps its own
 */
export const planApply = (
  state: HostState,
  nameservers: readonly string[],
  search: readonly string[],
): Step[] => {
  const { file, kept } = state
  const ours = file.kind === 'file' && isOurs(file.text)
  const manager = managerOf(state)
  if (manager === 'resolvconf' && !ours) return register(state, nameservers, search)
  // The file as other programs wrote it last; our own file is not an original.
  const was = ours ? kept?.was : file
  const text = resolvConf({ nameservers, search, keepFrom: was ? textOf(was) : textOf(file) })
  // Beside systemd-resolved, NetworkManager writes the file as soon as that is no longer a link.
  const networkManager =
    manager === 'NetworkManager' || (manager === 'systemd-resolved' && state.networkManager)
      ? dropIn(state, NETWORK_MANAGER, networkManagerText)
      : []
  const resolved = asksResolved(state.nsswitch)
    ? dropIn(state, RESOLVED, resolvedText(nameservers))
    : []
  const steps: Step[] = []
  if (was) {
    const made = new Set([
      ...(kept?.made ?? []),
      ...foldersOf([...networkManager, ...resolved], state),
    ])
    const next: Kept = { manager, was, made: [...made] }
    if (!same(kept, next)) steps.push({ do: 'keep', kept: next })
  }
  steps.push(...networkManager)
  if (!ours || file.text !== text) steps.push({ do: 'write', text })
  steps.push(...resolved)
  return steps
}

const same = (a: Kept | undefined, b: Kept): boolean => JSON.stringify(a) === JSON.stringify(b)

/** The folders that these steps make. */
const foldersOf = (steps: readonly Step[], { missing }: HostState): string[] =>
  steps
    .flatMap(step => (step.do === 'drop-in' ? [dirname(step.path)] : []))
    .filter(folder => missing.includes(folder))

const dropIn = ({ dropIns }: HostState, path: string, text: string): Step[] =>
  dropIns[path] === text
    ? []
    : [
        { do: 'drop-in', path, text },
        { do: 'reload', unit: UNITS[path]! },
      ]

/** resolvconf(8) merges records and writes the file; our record must come first. */
const register = (
  { file, kept }: HostState,
  nameservers: readonly string[],
  search: readonly string[],
): Step[] => {
  const text = resolvConf({ nameservers, search, keepFrom: '' })
  if (kept?.registered === text && namesFirst(file, nameservers)) return []
  return [
    { do: 'keep', kept: { manager: 'resolvconf', was: file, registered: text } },
    { do: 'register', text },
  ]
}

/** The steps that undo everything. Empty if nothing of ours is in place. */
export const planRestore = (state: HostState): Step[] => {
  const { file, kept, dropIns } = state
  const steps: Step[] = []
  if (kept?.manager === 'resolvconf') steps.push({ do: 'unregister' })
  // If another program has written the file since, it is left unchanged.
  else if (kept && (file.kind === 'absent' || isOurs(textOf(file))))
    steps.push({ do: 'put back', was: kept.was })
  for (const path of DROP_INS) {
    if (path in dropIns) steps.push({ do: 'remove', path }, { do: 'reload', unit: UNITS[path]! })
    const folder = dirname(path)
    if (kept?.made?.includes(folder)) steps.push({ do: 'remove folder', path: folder })
  }
  if (kept) steps.push({ do: 'forget' })
  return steps
}
