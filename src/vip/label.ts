/**
 * Parses labels that declare a VIP: '/redis:6379' or '192.0.2.10:80' on a discovery port, 'tcp://redis:6379' on a
 * task. The text before the last colon is the VIP, so names may contain colons, and IPv6 literals may be written
 * with or without brackets.
 */
import { canonicalIp } from '../base/ip.ts'
import { vipName, type Protocol } from './record.ts'

/** A VIP from a label or a file, or why it is invalid. */
export type ParsedVip =
  { readonly name: string; readonly ip: string; readonly port: number } | { readonly wrong: string }

export const parseVip = (value: string, framework: string): ParsedVip => {
  const colon = value.lastIndexOf(':')
  if (colon < 0) return { wrong: 'it has no port' }
  const digits = value.slice(colon + 1)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  if (port < 1 || port > 65_535) return { wrong: 'its port is not a number from 1 to 65535' }
  const vip = value.slice(0, colon)
  const bare = vip.startsWith('[') && vip.endsWith(']') ? vip.slice(1, -1) : vip
  const ip = canonicalIp(bare)
  if (ip !== '') return { name: '', ip, port }
  const name = vipName(vip, framework)
  return name === ''
    ? { wrong: 'nothing is left of its name, or it is too long' }
    : { name, ip: '', port }
}

/** Whether a port's label declares a VIP: its key begins with one of these two spellings. */
export const isVipKey = (key: string): boolean => key.startsWith('VIP') || key.startsWith('vip')

/** The index in a task label 'vip_port<N>', -1 for any other label. */
export const vipPortIndex = (key: string): number => {
  const match = /^vip_port(\d{1,4})$/i.exec(key)
  return match ? Number(match[1]) : -1
}

/** Splits 'tcp://redis:6379'; undefined without such a prefix. */
export const parseVipUrl = (value: string): { protocol: Protocol; rest: string } | undefined => {
  const match = /^(tcp|udp):\/\/(.*)$/is.exec(value)
  if (!match) return undefined
  return { protocol: (match[1] ?? '').toLowerCase() as Protocol, rest: match[2] ?? '' }
}
