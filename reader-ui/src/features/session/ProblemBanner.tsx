import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { problemText } from './problem-text.ts';

export function ProblemBanner({ error, retry }: { error: unknown; retry?: () => void }) {
  const strings = useStrings();
  if (!error) return null;
  const action = retry && (
    <Button small onClick={retry}>
      {strings.common.retry}
    </Button>
  );
  return (
    <Banner tone="danger" action={action}>
      {problemText(error, strings)}
    </Banner>
  );
}
