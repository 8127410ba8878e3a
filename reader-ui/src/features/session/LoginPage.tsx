import type { Session } from '../../api/types.ts';
import { useSetLanguage, useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Mark } from '../../ui/Mark.tsx';
import { LoginForm } from './LoginForm.tsx';

export function LoginPage({ onDone }: { onDone(session: Session): void }) {
  const strings = useStrings();
  const setLanguage = useSetLanguage();
  return (
    <main className="flex min-h-full flex-col items-center justify-center gap-6 px-4 py-10">
      <div className="flex items-center gap-3.5">
        <Mark className="size-12" />
        <div>
          <h1 className="text-2xl leading-tight font-semibold tracking-wide">Tancho</h1>
          <p className="text-sm text-muted">{strings.productLine}</p>
        </div>
      </div>
      <div className="panel w-full max-w-sm p-6 shadow-2xl">
        <LoginForm submitLabel={strings.session.submit} onDone={onDone} />
      </div>
      <p className="text-xs text-muted">{strings.session.privacy}</p>
      <Button kind="quiet" small lang={strings.language === 'ja' ? 'en' : 'ja'} onClick={() => setLanguage(strings.language === 'ja' ? 'en' : 'ja')}>
        {strings.session.switchLanguage}
      </Button>
    </main>
  );
}
