/**
 * What /etc/resolv.conf should say, as pure text: our nameservers, the options
 * that make libc go on to the next one in a second, the search list, and on
 * request what others had put there.
 */
import { isIP } from 'node:net'
import { parseName } from '../../config/address.ts'
import { fail } from '../../base/error.ts'

/** The resolver library reads three nameservers and no more (resolv.conf(5), MAXNS). */
export const MAX_NAMESERVERS = 3
/** Limits of the search list in resolver libraries before glibc 2.26, musl and others. */
const MAX_SEARCH = 6
const MAX_SEARCH_LENGTH = 255

/** One second a server, three rounds: what DC/OS clients have always had. */
const OPTIONS = ['timeout:1', 'attempts:3']

/** The first line of every file of ours; older versions wrote the same one. */
const MARK = '# Written by "spartan resolvconf"; changes are overwritten.'

const HEADER = [
  MARK,
  '# It lists the addresses of the local DNS forwarder that answered a probe;',
  '# upstream resolvers belong into the configuration of spartan.',
]

/** Whether this command wrote that text, even if somebody has changed lines of it since. */
export const isOurs = (text: string): boolean => text.startsWith(MARK)

/** The nameservers that a text names, in its order. */
export const nameserversIn = (text: string): string[] =>
  [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(match => match[1] ?? '')

/** A search list as given on the command line, checked. Throws EUSAGE. */
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
  /** The old file, whose foreign options, sortlist and (without a search list of ours) search lines are kept; '' keeps nothing. */
  readonly keepFrom: string
}

/** The whole file. Without nameservers it would send every query nowhere, so that is a bug of the caller. */
export const resolvConf = ({ nameservers, search, keepFrom }: ResolvConf): string => {
  const servers = [...new Set(nameservers)]
    .filter(address => isIP(address))
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

/** What of a resolv.conf is not ours to decide. Of search and domain the last one counts (resolv.conf(5)). */
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
