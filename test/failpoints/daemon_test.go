package failpoints

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/test/star"

	"golang.org/x/sys/unix"
)

// router is a network whose daemon has failpoints.
type router struct {
	*star.Network
	weft string // the program
}

// control is where the daemon's failpoints are armed and asked, in the router's
// network namespace.
const control = "127.0.0.1:1"

func newRouter(t testing.TB) *router {
	t.Helper()
	n := star.New(t)
	weft, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return &router{n, weft}
}

// launch starts the daemon, or another command, with a failpoint armed or with none.
// It does not wait.
func (r *router) launch(command, point string) {
	r.Helper()
	env := map[string]string{"GOFAIL_HTTP": control}
	if point != "" {
		env["GOFAIL_FAILPOINTS"] = point + "=" + stop
	}
	for k, v := range env { // a child has the environment of this process
		if err := os.Setenv(k, v); err != nil {
			r.Fatal(err)
		}
		defer os.Unsetenv(k)
	}
	var err error
	if r.Daemon, err = r.Lab.Start("r1", r.weft, command); err != nil {
		r.Fatal(err)
	}
}

// stop is what a failpoint does that is armed: nothing more, for ten minutes.
const stop = "sleep(600000)"

// run starts the daemon without a failpoint and waits until it forwards.
func (r *router) run() {
	r.Helper()
	r.launch("run", "")
	r.Until("weft forwards", func() bool {
		if r.ended() {
			r.Fatalf("weft has ended: %v\n%s", r.Daemon.Err(), r.DaemonLog())
		}
		var s star.Status
		return r.Try(&s, "status") && s.State == "forwarding" && s.PID == r.Daemon.Pid
	})
}

func (r *router) ended() bool {
	select {
	case <-r.Daemon.Done:
		return true
	default:
		return false
	}
}

// arm makes the running daemon stop at a failpoint.
func (r *router) arm(point string) {
	r.Helper()
	if _, err := r.ask(http.MethodPut, point, stop); err != nil {
		r.Fatalf("arm failpoint %s: %v", point, err)
	}
}

// reached waits until the daemon has stopped at a failpoint.
func (r *router) reached(point string) {
	r.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		text, err := r.ask(http.MethodGet, point+"/count", "")
		if count, _ := strconv.Atoi(text); err == nil && count > 0 {
			return
		}
		if r.ended() || time.Now().After(deadline) {
			r.Fatalf("failpoint %s is not reached: %v\n%s", point, err, r.DaemonLog())
		}
	}
}

// ask talks to the daemon's failpoints.
func (r *router) ask(method, path, body string) (text string, err error) {
	var conn net.Conn
	err = r.Lab.In("r1", func() (err error) {
		conn, err = net.DialTimeout("tcp4", control, time.Second)
		return err
	})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	request, err := http.NewRequest(method, "http://"+control+"/"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if err := request.Write(conn); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", answer.Status, all)
	}
	return string(all), err
}

// kill ends the daemon as nothing else does.
func (r *router) kill() {
	r.Helper()
	if code := r.Signal(unix.SIGKILL); code != -1 {
		r.Fatalf("weft ended with code %d before it was killed\n%s", code, r.DaemonLog())
	}
}
