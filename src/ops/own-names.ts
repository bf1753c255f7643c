/** The names by which others know this host, as the files of the system have them. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

/** @param hosts the text of /etc/hosts, @param resolvConf that of /etc/resolv.conf */
export const namesOf = (host: string, hosts: string, resolvConf: string): string[] => {
  const short = host.toLowerCase()
  const names = new Set([short])
  for (const line of hosts.toLowerCase().split('\n')) {
    const [, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    // Only the full name of this host: another name on the same line may be somebody else's.
    if (aliases.includes(short))
      for (const name of aliases) if (name.startsWith(`${short}.`)) names.add(name)
  }
  if (!short.includes('.'))
    for (const [, list = ''] of resolvConf
      .toLowerCase()
      .matchAll(/^\s*(?:search|domain)\s+(.*)$/gm))
      for (const domain of list.trim().split(/\s+/))
        if (/^[a-z0-9]/.test(domain)) names.add(`${short}.${domain.replace(/\.$/, '')}`)
  return [...names]
}

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

export const ownNames = (): string[] =>
  namesOf(hostname(), textOf('/etc/hosts'), textOf('/etc/resolv.conf'))
