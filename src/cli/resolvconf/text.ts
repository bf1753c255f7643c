/**
 * The text of /etc/resolv.conf: our nameservers, options that make libc try the next one after a second, the search
 * list, and on request the other lines of the old file.
 */
import { parseName } from '../../config/address.ts'
import { fail } from '../../base/error.ts'
import { ipFamily } from '../../base/ip.ts'

/** The resolver library reads only three nameservers (resolv.conf(5), MAXNS). */
export const MAX_NAMESERVERS = 3
/** Limits of the search list in resolver libraries before glibc 2.26, musl and others. */
const MAX_SEARCH = 6
const MAX_SEARCH_LENGTH = 255

/** One second per server, three rounds: the values that DC/OS clients use. */
const OPTIONS = ['timeout:1', 'attempts:3']

/** The first line of every file of ours; older versions wrote the same one. */
const MARK = '# Written by "spartan resolvconf"; changes are overwritten.'

const HEADER = [
  MARK,
  '# It lists the addresses of the local DNS forwarder that answered a probe;',
  '# upstream resolvers belong into the configuration of spartan.',
]

/** Whether this command wrote the text, even if it was edited since. */
export const isOurs = (text: string): boolean => text.startsWith(MARK)

/** The nameservers in a text, in order. */
export const nameserversIn = (text: string): string[] =>
  [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(match => match[1] ?? '')

/** Checks a search list from the command line. Throws EUSAGE. */
export const searchList = (words: readonly string[]): string[] => {
  const zones = words.filter(word => word !== '')
  if (zones.length > MAX_SEARCH)
    throw fail(`a search list has at most ${MAX_SEARCH} domains, not ${zones.length}`, 'EUSAGE')
  const names = zones.map(zone => {
    if (zone === '.') return zone
    if (zone.includes(','))
      throw fail(
        `'${zone}' in the search list: domains are separated by spaces, not commas`,
        'EUSAGE',
      )
    const read = parseName(zone)
    if ('problem' in read) throw fail(`search list: ${read.problem}`, 'EUSAGE')
    return read.value
  })
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw fail(`'${twice}' is in the search list twice`, 'EUSAGE')
  if (names.join(' ').length > MAX_SEARCH_LENGTH) {
    throw fail(`a search list has at most ${MAX_SEARCH_LENGTH} characters`, 'EUSAGE')
  }
  return names
}

export type ResolvConf = {
  /** Addresses that answer; at least one. */
  readonly nameservers: readonly string[]
  readonly search: readonly string[]
  /**
   * The old file, whose other options, sortlist and (unless a search list is set) search lines are kept; '' keeps
   * nothing.
   */
  readonly keepFrom: string
}

/** The whole file. Throws if there is no nameserver, because then no query would be answered. */
export const resolvConf = ({ nameservers, search, keepFrom }: ResolvConf): string => {
  const servers = [...new Set(nameservers)]
    .filter(address => ipFamily(address) !== 0)
    .slice(0, MAX_NAMESERVERS)
  if (!servers.length) throw fail('a resolv.conf without nameservers is never written', 'ESTATE')
  const kept = foreign(keepFrom)
  const lines = [...HEADER, `options ${[...OPTIONS, ...kept.options].join(' ')}`]
  lines.push(...servers.map(address => `nameserver ${address}`))
  if (search.length) lines.push(`search ${search.join(' ')}`)
  else if (kept.search) lines.push(kept.search)
  lines.push(...kept.sortlist)
  return `${lines.join('\n')}\n`
}

type Foreign = {
  readonly options: readonly string[]
  readonly search: string
  readonly sortlist: readonly string[]
}

/**
 * The lines of a resolv.conf that we keep. Of several search and domain lines the last one counts (resolv.conf(5)).
 */
const foreign = (text: string): Foreign => {
  const options: string[] = []
  const sortlist: string[] = []
  let search = ''
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/[ \t]+/)
    // eslint-disable-next-line no-control-regex
    if (!rest.length || /[\u0000-\u0008\u000b-\u001f\u007f]/.test(line)) continue
    if (word === 'options') {
      for (const option of rest) {
        if (!/^(timeout|attempts):/.test(option) && !options.includes(option)) options.push(option)
      }
    }
    if (word === 'sortlist') sortlist.push([word, ...rest].join(' '))
    if (word === 'search' || word === 'domain') search = [word, ...rest].join(' ')
  }
  return { options, search, sortlist }
}
