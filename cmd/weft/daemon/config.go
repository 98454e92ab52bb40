package daemon

import (
	"context"
	"errors"
	"os"

	"weft/control"
	"weft/control/config"
	"weft/control/static"
)

// readConfig reads the configuration file, if there is one, before anything is
// changed.
func (r *router) readConfig() (config.Place, error) {
	place, err := config.Find(r.netns)
	if err != nil {
		return place, err
	}
	r.fileName = r.options.Config
	if r.fileName == "" && place.Own {
		r.fileName = config.File
	}
	if r.fileName == "" {
		return place, nil
	}
	r.file, _, err = config.ReadFile(r.fileName)
	if errors.Is(err, os.ErrNotExist) && r.options.Config == "" {
		return place, nil
	}
	return place, err
}

// openConfig opens what is kept of the configuration.
func (r *router) openConfig(place config.Place) (err error) {
	r.static, r.inForce = static.New(r.follower, r.log), config.Default()
	r.openBGP()
	r.config, err = config.Open(config.Options{Dir: place.Dir, Identity: place.Identity, Sink: configured{r}, Log: r.log})
	if err != nil {
		return err
	}
	return r.beginEngines()
}

// startConfig puts the configuration into force. Before that no packet is
// forwarded by the image, unless a daemon before this one has filled it.
func (r *router) startConfig(ctx context.Context) error {
	if err := r.config.Start(ctx, r.file, r.fileName); err != nil {
		return err
	}
	go r.static.Run(ctx)
	go r.bgp.Run(ctx)
	go r.config.Run(ctx)
	return nil
}

// interfaceChanged is called in the Follower's goroutine.
func (r *router) interfaceChanged(i control.Interface, there bool) {
	r.ports.Take(i, there)
	r.static.InterfaceChanged()
	r.bgp.InterfaceChanged()
}

// bgpConfig returns what the configuration in force says of BGP; nil: nothing.
func (r *router) bgpConfig() *config.BGP {
	c, _ := r.config.Running()
	return c.BGP
}
