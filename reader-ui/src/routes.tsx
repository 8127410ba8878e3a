import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Navigate } from '@tanstack/react-router';
import { menuOf } from './features/shell/menu.ts';
import { NotFound } from './features/shell/NotFound.tsx';
import { Shell } from './features/shell/Shell.tsx';
import { useSession } from './features/session/session-context.ts';
import { WorklistPage } from './features/worklist/WorklistPage.tsx';

/** Addresses hold our internal ids only: they stay in the browser's history, names and UIDs must not. */
const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

function Home() {
  const { user } = useSession().session;
  return <Navigate to={menuOf(user.role)[0]?.to ?? '/worklist'} replace />;
}

const parent = () => root;
const page = <Path extends string>(path: Path, component: () => React.JSX.Element) => createRoute({ getParentRoute: parent, path, component });

/** The screens with images come with the viewer, in a part of the bundle of their own. */
const reading = createRoute({
  getParentRoute: parent,
  path: '/reading/$requestId',
  component: lazyRouteComponent(() => import('./features/reading/ReadingPage.tsx'), 'ReadingPage'),
});
const report = createRoute({
  getParentRoute: parent,
  path: '/requests/$requestId',
  component: lazyRouteComponent(() => import('./features/report/ReportPage.tsx'), 'ReportPage'),
});
const lazy = <Path extends string>(path: Path, load: () => Promise<{ Page: () => React.JSX.Element }>) =>
  createRoute({ getParentRoute: parent, path, component: lazyRouteComponent(load, 'Page') });

const tree = root.addChildren([
  page('/', Home),
  page('/worklist', WorklistPage),
  reading,
  report,
  lazy('/requests', () => import('./features/requests/RequestsPage.tsx')),
  lazy('/requests/new', () => import('./features/requests/NewRequestPage.tsx')),
  lazy('/requests/$requestId/context', () => import('./features/requests/ContextPage.tsx')),
  lazy('/unacknowledged', () => import('./features/critical-result/UnacknowledgedPage.tsx')),
  lazy('/admin/sites', () => import('./features/admin/SitesPage.tsx')),
  lazy('/admin/users', () => import('./features/admin/UsersPage.tsx')),
  lazy('/admin/nodes', () => import('./features/admin/NodesPage.tsx')),
  lazy('/audit', () => import('./features/admin/AuditPage.tsx')),
]);

export const router = createRouter({ routeTree: tree, defaultPreload: false, scrollRestoration: false });

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
