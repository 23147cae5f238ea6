import 'uplot/dist/uPlot.min.css';
import './style/base.css';
import './style/controls.css';
import './style/parts.css';
import './style/shell.css';
import './style/views.css';
import './style/inbox.css';
import { render } from 'preact';
import { Guard } from './parts/guard';
import { Problem, Waiting } from './parts/ui';
import { begin, unknown, who } from './state/who';
import { LoginView } from './views/login';
import { Shell } from './views/shell';

function Page() {
  if (who.value) return <Shell key={who.value.apiKeyId} />;
  if (who.value === null) return <LoginView />;
  if (!unknown.value) return <Waiting />;
  return (
    <main class="login">
      <h1>Waypost</h1>
      <Problem error={unknown.value} retry={() => void begin()} />
    </main>
  );
}

render(
  <Guard>
    <Page />
  </Guard>,
  document.getElementById('app')!,
);
void begin();
