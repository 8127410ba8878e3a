import type { Role } from '../../api/types.ts';
import type { Strings } from '../../strings/ja.ts';

type Path = '/worklist' | '/requests' | '/requests/new' | '/unacknowledged' | '/admin/sites' | '/admin/users' | '/admin/nodes' | '/audit';

export interface MenuItem {
  to: Path;
  label(strings: Strings): string;
  /** Whether unread notices are counted beside it. */
  counts?: boolean;
}

const worklist: MenuItem = { to: '/worklist', label: ({ nav }) => nav.worklist };
const requests: MenuItem = { to: '/requests', label: ({ nav }) => nav.requests, counts: true };
const newRequest: MenuItem = { to: '/requests/new', label: ({ nav }) => nav.newRequest };
const unacknowledged: MenuItem = { to: '/unacknowledged', label: ({ nav }) => nav.unacknowledged };
const audit: MenuItem = { to: '/audit', label: ({ nav }) => nav.audit };

const menus: Record<Role, MenuItem[]> = {
  reader: [worklist],
  referrer: [requests, newRequest],
  technologist: [requests, newRequest],
  liaison: [unacknowledged, requests],
  admin: [
    { to: '/admin/sites', label: ({ nav }) => nav.sites },
    { to: '/admin/users', label: ({ nav }) => nav.users },
    { to: '/admin/nodes', label: ({ nav }) => nav.nodes },
    audit,
  ],
  auditor: [audit],
};

/** What a role works with; the relay decides what it may do. The first entry is where a login lands. */
export function menuOf(role: Role): MenuItem[] {
  return menus[role];
}
